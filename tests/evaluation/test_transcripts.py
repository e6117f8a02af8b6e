"""Word error rates by group, against distances counted by hand and by another program."""

import json

import pytest
from datasets import ClassLabel, Dataset, DatasetDict

import m4ser_cli
from m4ser.data.builders.card import SplitStatistics
from m4ser.data.builders.hypotheses import read_hypotheses
from m4ser.data.schema import DataError, Utterance
from m4ser.data.word_errors import corpus_normalizer, whisper_normalizer
from m4ser.evaluation.transcripts import describe_normalizer, word_error_rates, word_error_table
from tests.tiny_corpus import write_tiny_corpus

ROWS = [
    # hypothesis, transcript, emotion, session, speaker: errors / words
    ("I'm NOT going, uh, there.", "I am not going there", 0, "1", None),  # 0 / 5
    ("one knight", "the night", 1, "1", None),  # 2 / 2
    ("", "Well [LAUGHTER] no", 1, "2", None),  # 2 / 2
    ("thank you", "[BREATHING]", 0, "2", None),  # 2 / 0
    (None, "never said", 0, "2", None),
    ("never written", None, 0, "3", None),
]
COLUMNS = ("hypothesis", "transcript", "emotion", "session", "speaker")


@pytest.fixture(scope="module")
def rows():
    columns = dict(zip(COLUMNS, map(list, zip(*ROWS, strict=True)), strict=True))
    return Dataset.from_dict(columns).cast_column("emotion", ClassLabel(names=["angry", "sad"]))


def test_rates_by_group(rows):
    rates = word_error_rates(rows)
    assert rates.pop("overall") == {"wer": 6 / 9, "words": 9, "recordings": 4}
    assert rates == {
        "session": {
            "1": {"wer": 2 / 7, "words": 7, "recordings": 2},
            "2": {"wer": 4 / 2, "words": 2, "recordings": 2},
        },
        "emotion": {
            "angry": {"wer": 2 / 5, "words": 5, "recordings": 2},
            "sad": {"wer": 4 / 4, "words": 4, "recordings": 2},
        },
    }
    table = word_error_table(rates | {"overall": {"wer": None, "words": 0, "recordings": 1}})
    assert "| session | 1 | 28.57 % | 7 | 2 |" in table and "| overall |  |  | 0 | 1 |" in table


def test_splits_are_merged(rows):
    split = Dataset.from_dict({"split": ["train"] * 2 + ["test"] * 4})
    rows = rows.add_column("split", split["split"])
    halves = DatasetDict(train=rows.select(range(2)), test=rows.select(range(2, 6)))
    assert word_error_rates(halves) == word_error_rates(rows)
    assert word_error_rates(halves, by=["split"])["split"]["train"] == {"wer": 2 / 7, "words": 7, "recordings": 2}


def test_another_normalization(rows):
    assert word_error_rates(rows, by=[], normalize=str.lower)["overall"]["words"] == 11


def test_german_um_is_a_word():
    """Whisper's English normalizer drops it."""
    german = Dataset.from_dict({"transcript": ["Es geht um drei Äpfel"], "hypothesis": ["es geht drei Äpfel."]})
    assert word_error_rates(german, by=[])["overall"] == {"wer": 1 / 5, "words": 5, "recordings": 1}
    assert describe_normalizer(german) == "Texts as Whisper's basic normalizer leaves them."
    english = Dataset.from_dict({"transcript": ["um it's three apples"], "hypothesis": ["it is 3 apples"]})
    assert word_error_rates(english, by=[])["overall"] == {"wer": 0, "words": 4, "recordings": 1}
    assert "Whisper's English normalizer" in describe_normalizer(english)


def test_marks_are_kept_in_any_script():
    rows = Dataset.from_dict({"transcript": ["नमस्ते दुनिया"], "hypothesis": ["नमस्त दुनिया"]})
    assert word_error_rates(rows, by=[])["overall"]["wer"] == 1 / 2


def test_spellings_come_with_asr_model(tmp_path):
    (tmp_path / "normalizer.json").write_text(json.dumps({"colour": "color"}))
    assert whisper_normalizer(tmp_path)("My Colour") == "my color"
    assert whisper_normalizer()("My Colour") == "my colour"
    with pytest.raises(DataError, match=r"No table of spellings at .*nowhere"):
        whisper_normalizer(tmp_path / "nowhere")


def test_dataset_without_pairs_is_refused(rows):
    with pytest.raises(DataError, match="No recording has both"):
        word_error_rates(rows.select([4, 5]))


def distance(hypothesis, said):
    """Levenshtein's, a row at a time."""
    row = list(range(len(hypothesis) + 1))
    for index, word in enumerate(said, start=1):
        diagonal, row[0] = row[0], index
        for position, other in enumerate(hypothesis, start=1):
            diagonal, row[position] = (
                row[position],
                min(diagonal + (word != other), row[position] + 1, row[position - 1] + 1),
            )
    return row[-1]


def test_real_hypotheses(shared_data):
    hypothesis = read_hypotheses(shared_data / "ravdess16k" / "hypotheses.jsonl").texts
    said = {"01": "Kids are talking by the door", "02": "Dogs are sitting by the door"}
    rows = Dataset.from_list(
        [
            {"hypothesis": text, "transcript": said[id.split("-")[4]], "speaker": id[-2:]}
            for id, text in hypothesis.items()
        ]
    )
    rates = word_error_rates(rows)
    normalize = whisper_normalizer()
    errors = sum(distance(normalize(row["hypothesis"]).split(), row["transcript"].lower().split()) for row in rows)
    assert rates["overall"] == {"wer": pytest.approx(errors / (6 * 1440)), "words": 6 * 1440, "recordings": 1440}
    assert len(rates["speaker"]) == 24
    assert sum(score["wer"] for score in rates["speaker"].values()) / 24 == pytest.approx(rates["overall"]["wer"])


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_tiny_corpus(tmp_path_factory.mktemp("corpus"))


def run(monkeypatch, capsys, *arguments):
    monkeypatch.setattr("sys.argv", ["m4ser", "wer", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        m4ser_cli.main()
    return stop.value.code, capsys.readouterr().out


def test_command_prints_table_and_published_rates(monkeypatch, capsys, corpus):
    code, printed = run(monkeypatch, capsys, corpus)
    assert code == 0
    assert "| overall |  | 22.22 % | 72 | 20 |" in printed  # 16 errors
    assert "| split | train | 26.32 % | 38 | 11 |" in printed  # 10 errors
    assert {"split", "emotion", "speaker"} <= {line.split(" | ")[0].strip("| ") for line in printed.splitlines()}
    assert "20.48 % on IEMOCAP" in printed and "37.87 % on MELD" in printed


def test_command_scores_hypotheses_file(monkeypatch, capsys, corpus, tmp_path):
    hypothesis = tmp_path / "hypotheses.jsonl"
    hypothesis.write_text('{"id": "train-0", "hypothesis": "the night was grate"}\n')
    code, printed = run(monkeypatch, capsys, corpus, "--hypotheses", hypothesis, "--json")
    assert code == 0
    assert json.loads(printed)["overall"] == {"wer": 0.25, "words": 4, "recordings": 1}
    code, _ = run(monkeypatch, capsys, tmp_path / "nowhere")
    assert code.startswith(f"m4ser: There is no dataset {tmp_path / 'nowhere'}: no such folder. Build it")


@pytest.mark.parametrize(
    ("hypothesis", "transcript", "wer"),
    [
        ("Kot pije mleko", "Kót pije mleko.", 1 / 3),  # Whisper's own normalizer makes "kot" of "kót"
        ("привет мир", "Привет, мир!", 0),
        ("привет", "Привет, мир!", 1 / 2),
        ("नमसत दुनिया", "नमस्ते दुनिया", 1 / 2),  # without its vowel signs
        ("die Straße", "Die Strasse", 0),
        ("e\u0301tude", "\u00c9tude", 0),
        ("I will go to the café", "I'll go to the CAFÉ", 0),
    ],
)
def test_every_script_counts_the_same_in_card_and_command(hypothesis, transcript, wer):
    rows = Dataset.from_dict({"hypothesis": [hypothesis], "transcript": [transcript]})
    assert word_error_rates(rows)["overall"]["wer"] == pytest.approx(wer)
    statistics = SplitStatistics()
    statistics.add(Utterance("a", b"0", "a.wav", "joy", 1.0, hypothesis=hypothesis, transcript=transcript), {})
    assert statistics.word_error_rate(corpus_normalizer([transcript])) == pytest.approx(wer)
