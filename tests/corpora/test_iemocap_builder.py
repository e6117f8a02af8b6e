"""IEMOCAP in the release's layout: the published one passes its own check, and whatever differs is named."""

import json
import random
import re
from collections import Counter

import datasets
import numpy as np
import pytest
import soundfile

from experiments.fake_releases import replace, tone, write_dialogue, write_iemocap
from m4ser.corpora import iemocap
from m4ser.data.builders.hypotheses import Hypotheses
from m4ser.data.builders.release import ReleaseReport
from m4ser.data.schema import DataError

FIRST = "Ses01F_impro01_F000"


def load(folder, cache):
    return datasets.load_dataset(str(folder), cache_dir=str(cache))


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """All 10,039 utterances, of a twentieth of a second."""
    return write_iemocap(tmp_path_factory.mktemp("iemocap"), (0.05, 0.06))


def test_published_release_gives_published_counts(release, build_here, tmp_path):
    (release / "Session1/dialog/EmoEvaluation/._Ses01F_impro01.txt").write_bytes(b"\0\5\x16\7" * 50)
    finished = build_here("iemocap", "--data_dir", release.parent, "--output_dir", tmp_path / "out")
    assert finished.returncode == 0, finished.stderr
    assert "| train | 1103 | 1636 | 1708 | 1084 | 5531 |" in finished.stdout
    assert not (tmp_path / "out" / "report.json").exists()

    dataset = load(tmp_path / "out", tmp_path / "cache")
    assert list(dataset) == ["train"]
    rows = dataset["train"].remove_columns("audio")
    names = rows.features["emotion"].names
    assert names == ["angry", "happy", "neutral", "sad"]
    assert Counter(rows["session"]) == {"1": 1085, "2": 1023, "3": 1151, "4": 1031, "5": 1241}
    assert Counter(names[emotion] for emotion in rows["emotion"]) == {
        "neutral": 1708,
        "angry": 1103,
        "sad": 1084,
        "happy": 595 + 1041,
    }
    assert set(rows["speaker"]) == {f"Ses0{session}_{sex}" for session in range(1, 6) for sex in "FM"}
    assert len(set(rows["dialogue"])) == 151
    for row in rows:
        assert row["id"].startswith(row["dialogue"])
        assert row["sex"] == {"F": "female", "M": "male"}[row["speaker"][-1]]
        assert row["improvised"] == ("impro" in row["id"]) != ("script" in row["id"])


@pytest.mark.parametrize(
    ("name", "emotions", "utterances"),
    [
        ("4", "angry happy neutral sad", 5531),
        ("5", "angry frustrated happy neutral sad", 7380),
        ("6", "angry excited frustrated happy neutral sad", 7380),
        ("all", "angry disgusted excited fearful frustrated happy neutral other sad surprised", 7532),
    ],
)
def test_label_sets_equal_published_ones(release, name, emotions, utterances):
    labels = iemocap.LABEL_SETS[name]
    assert sorted(set(labels.values())) == emotions.split()
    assert sum(turn.evaluation in labels for turn in iemocap.read_turns(release)) == utterances
    assert differences(release, labels) == []


def differences(release, labels=iemocap.FOUR):
    report = ReleaseReport()
    transcripts = dict(iemocap.matches(release, "transcriptions", iemocap.TRANSCRIPTION))
    iemocap.compare(release, iemocap.read_turns(release), transcripts, labels, report)
    return report.differences


@pytest.fixture
def change(release):
    """change(path, content): give a file of the release other content, or none; it is put back afterwards."""
    former = {}

    def to(path, content):
        former[path] = (release / path).read_bytes()
        (release / path).unlink()
        if content is not None:
            (release / path).write_bytes(content)

    yield to
    for path, content in former.items():
        (release / path).write_bytes(content)


@pytest.fixture
def angry(release):
    """An angry utterance of Session2."""
    turns = iemocap.read_turns(release)
    return next(turn for turn in turns if turn.session == "Session2" and turn.evaluation == "ang")


def evaluation_file(turn):
    return f"Session2/dialog/EmoEvaluation/{turn.dialogue}.txt"


def test_a_missing_recording_is_named(release, change, angry, build_here, tmp_path):
    change(angry.recording, None)
    line = f"Session2/sentences/wav/{angry.dialogue}/{angry.id}.wav: it is evaluated, but not there"
    assert differences(release) == [line]
    finished = build_here("iemocap", "--data_dir", release, "--output_dir", tmp_path / "out")
    assert finished.returncode == 1
    assert finished.stderr.startswith("error: 1 differences from the release as published:\n  " + line)
    assert "--allow_partial" in finished.stderr
    assert not (tmp_path / "out").exists()


def test_a_missing_transcription_is_named(release, change, angry):
    path = f"Session2/dialog/transcriptions/{angry.dialogue}.txt"
    lines = (release / path).read_bytes().splitlines(keepends=True)
    change(path, b"".join(line for line in lines if not line.startswith(angry.id.encode())))
    assert differences(release) == [f"{path}: there is no line for {angry.id}"]


def test_missing_evaluation_is_named_by_recording(release, change, angry):
    path = evaluation_file(angry)
    lines = (release / path).read_text().splitlines(keepends=True)
    change(path, "".join(line for line in lines if angry.id not in line).encode())
    assert differences(release) == [
        "Session2: 136 utterances of ang instead of 137",
        f"{angry.recording}: it is there, but not evaluated",
    ]


def test_changed_evaluation_is_named_by_session_and_class(release, change, angry):
    path = evaluation_file(angry)
    change(path, (release / path).read_bytes().replace(f"{angry.id}\tang".encode(), f"{angry.id}\tsad".encode()))
    assert differences(release) == [
        "Session2: 136 utterances of ang instead of 137",
        "Session2: 198 utterances of sad instead of 197",
    ]


def test_missing_evaluation_file_is_named(release, change, angry):
    change(evaluation_file(angry), None)
    first, *others = differences(release)
    assert first == f"{evaluation_file(angry)}: there is no such file"
    assert any(line == f"{angry.recording}: it is there, but not evaluated" for line in others)


def test_damaged_recording_stops_the_build(release, change, angry):
    change(angry.recording, b"RIFF and no more")
    turns, report = iemocap.read_turns(release)[:300], ReleaseReport()
    assert angry in turns or turns.append(angry) is None
    read = []
    with pytest.raises(DataError, match=re.escape(f"{angry.recording}: it cannot be read as audio")):
        read.extend(iemocap.read_utterances(release, turns, {}, Hypotheses(), iemocap.FOUR, report))
    assert angry.id not in {utterance.id for utterance in read}


@pytest.fixture
def part(tmp_path):
    """Two dialogues, with a missing and a damaged recording, one cut short, and a missing transcription."""
    bank, folder = tmp_path / "bank", tmp_path / "raw"
    bank.mkdir()
    soundfile.write(bank / "0.5.wav", tone(0.5, 16_000), 16_000)
    turns = [(code, 0.5) for code in ("neu", "exc", "ang", "xxx", "sad", "hap", "fru")]
    for session, dialogue in ((1, "Ses01F_impro01"), (3, "Ses03M_script01_1")):
        write_dialogue(folder / f"Session{session}", dialogue, turns, bank, random.Random(0))
    wavs = folder / "Session1/sentences/wav/Ses01F_impro01"
    (wavs / "Ses01F_impro01_M000.wav").unlink()
    replace(wavs / "Ses01F_impro01_F001.wav", b"RIFF and no more")
    (wavs / f"{FIRST}.wav").unlink()
    soundfile.write(wavs / f"{FIRST}.wav", tone(0.3, 16_000), 16_000)
    (wavs / "._Ses01F_impro01_F000.wav").write_bytes(b"\0\5\x16\7")
    remarks = folder / "Session3/dialog/EmoEvaluation/Ses03M_script01_1.txt"
    remarks.write_bytes(remarks.read_bytes() + b"C-E1:\tOther;\t(d\xe9pit)\n")
    texts = folder / "Session3/dialog/transcriptions/Ses03M_script01_1.txt"
    lines = texts.read_text().splitlines()
    texts.write_text(
        "\n".join(["M: [LAUGHTER]", *lines[:1], lines[1].split(":")[0] + ": It's [BREATHING] me.", *lines[3:]])
    )
    return folder


def test_partial_release_where_allowed(part, build_here, tmp_path):
    hypotheses = tmp_path / "hypotheses.jsonl"
    hypotheses.write_text(json.dumps({"id": FIRST, "hypothesis": "well"}) + "\n")
    arguments = ("--data_dir", part, "--output_dir", tmp_path / "out", "--hypotheses", hypotheses, "--allow_partial")
    assert "one for train 1 of 8): transcribe the rest" in build_here("iemocap", *arguments).stderr
    finished = build_here("iemocap", *arguments, "--allow_missing_text")
    assert finished.returncode == 0, finished.stderr
    rows = {row["id"]: row for row in load(tmp_path / "out", tmp_path / "cache")["train"]}
    assert set(rows) == {
        *(f"Ses01F_impro01_{turn}" for turn in ("F000", "F002", "M002")),
        *(f"Ses03M_script01_1_{turn}" for turn in ("F000", "M000", "F001", "F002", "M002")),
    }
    wav = part / f"Session1/sentences/wav/Ses01F_impro01/{FIRST}.wav"
    assert rows[FIRST].pop("audio") == {"bytes": wav.read_bytes(), "path": f"{FIRST}.wav"}
    assert rows[FIRST].pop("duration") == pytest.approx(0.3)
    text = (part / "Session1/dialog/transcriptions/Ses01F_impro01.txt").read_text().splitlines()[0]
    assert rows[FIRST] == {
        "id": FIRST,
        "transcript": text.split("]: ")[1],
        "hypothesis": "well",
        "asr_model_id": None,
        "word_confidences": None,
        "emotion": 2,
        "speaker": "Ses01_F",
        "session": "1",
        "dialogue": "Ses01F_impro01",
        "split": "train",
        "improvised": True,
        "sex": "female",
    }
    excited, angry = rows["Ses03M_script01_1_M000"], rows["Ses03M_script01_1_F001"]
    assert (excited["emotion"], excited["speaker"], excited["improvised"]) == (1, "Ses03_M", False)
    assert (excited["transcript"], angry["transcript"]) == ("It's me.", None)

    report = json.loads((tmp_path / "out" / "report.json").read_text())
    (lengths,) = (kind for kind in report if kind.startswith("recordings that differ from their annotated times"))
    assert report.pop(lengths) == [f"{FIRST}: 0.30 s instead of 0.50 s"]
    assert report.pop("tags left out of the transcripts") == ["Ses03M_script01_1_M000: [BREATHING]"]
    (lines,) = report.values()
    for expected in (
        "Session1/dialog/EmoEvaluation/Ses01F_impro02.txt: there is no such file",
        "Session2: 0 utterances of neu instead of 362",
        "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_M000.wav: it is evaluated, but not there",
        "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F001.wav: it cannot be read as audio",
        "Session3/dialog/transcriptions/Ses03M_script01_1.txt: there is no line for Ses03M_script01_1_F001",
    ):
        assert expected in lines
    card = (tmp_path / "out" / "README.md").read_text()
    assert f"- differences from the release as published: {len(lines)} (" in card
    assert str(tmp_path) not in card + json.dumps(report)


@pytest.mark.parametrize(
    ("raw", "transcript", "tags"),
    [
        ("[LAUGHTER] Oh, that's funny. [BREATHING]", "Oh, that's funny.", ["[LAUGHTER]", "[BREATHING]"]),
        ("[GARBAGE]", "", ["[GARBAGE]"]),
        ("I [LIPSMACK] know.", "I know.", ["[LIPSMACK]"]),
        ("Yes.", "Yes.", []),
    ],
)
def test_tags_become_no_words(raw, transcript, tags):
    report = ReleaseReport()
    assert iemocap.without_tags("turn", raw, report) == transcript
    listed = report.findings.get("tags left out of the transcripts", [])
    assert listed == [f"turn: {tag}" for tag in tags]


def test_rebuild_sees_changed_recording(part, build_here, tmp_path):
    arguments = ("--data_dir", part, "--output_dir", tmp_path / "out", "--allow_partial", "--labels", "all")
    assert build_here("iemocap", *arguments).returncode == 0
    before = {row["id"]: row for row in load(tmp_path / "out", tmp_path / "cache")["train"]}
    changed = "Ses03M_script01_1_F000"
    replace(part / f"Session3/sentences/wav/Ses03M_script01_1/{changed}.wav", b"")
    soundfile.write(
        part / f"Session3/sentences/wav/Ses03M_script01_1/{changed}.wav", np.zeros(8000, np.float32), 16_000
    )
    assert build_here("iemocap", *arguments).returncode == 0
    after = {row["id"]: row for row in load(tmp_path / "out", tmp_path / "cache")["train"]}
    assert [row for row in before if before[row] != after[row]] == [changed]


def test_other_folder_is_refused(build_here, tmp_path):
    finished = build_here("iemocap", "--data_dir", tmp_path, "--output_dir", tmp_path / "out")
    assert finished.returncode == 1
    assert finished.stderr.startswith("error: No IEMOCAP_full_release in ")
