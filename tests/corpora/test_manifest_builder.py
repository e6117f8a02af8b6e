"""Anyone's recordings: good rows are read as they are meant, bad rows are named, nothing is half written."""

import csv
import json
from collections import Counter

import datasets
import numpy as np
import pytest
import soundfile

from m4ser.asr.command import load_rows
from m4ser.model.audio_m4ser import load_audio


@pytest.fixture
def raw(tmp_path):
    """A folder of two recordings, one to be kept as it is and one at 8 kHz."""
    folder = tmp_path / "raw"
    (folder / "sub").mkdir(parents=True)
    tone = 0.3 * np.sin(2 * np.pi * 300 * np.arange(16_000) / 16_000)
    soundfile.write(folder / "a.wav", tone, 16_000)
    soundfile.write(folder / "sub" / "b.wav", tone[::2], 8_000)
    return folder


def write_csv(path, *rows):
    with open(path, "w", newline="", encoding="utf-8-sig") as file:  # as a spreadsheet writes it
        csv.writer(file).writerows(rows)
    return path


def load(tmp_path):
    return datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))


def test_a_csv_manifest(raw, build, tmp_path):
    write_csv(
        raw / "manifest.csv",
        ["path", "emotion", "id", "transcript", "hypothesis", "speaker", "session", "split", "note"],
        ["a.wav", "joy", "first", "Well, yes", "well yes", "ann", "s1", "train", "x"],
        ["sub/b.wav", "anger", "", "", "", "", "", "test", ""],
    )
    finished = build("manifest", "--data_dir", raw, "--output_dir", tmp_path / "out")
    assert finished.returncode == 0, finished.stderr
    dataset = load(tmp_path)
    assert dataset["train"].features["emotion"].names == ["anger", "joy"]

    first, second = dataset["train"][0], dataset["test"][0]
    assert first.pop("audio") == {"bytes": (raw / "a.wav").read_bytes(), "path": "a.wav"}
    assert np.abs(load_audio(second.pop("audio")) - load_audio(raw / "sub" / "b.wav")).max() < 2**-15
    assert first == {
        "id": "first",
        "transcript": "Well, yes",
        "hypothesis": "well yes",
        "asr_model_id": None,
        "word_confidences": None,
        "emotion": 1,
        "speaker": "ann",
        "session": "s1",
        "dialogue": None,
        "split": "train",
        "duration": 1.0,
    }
    assert second == {
        "id": "sub/b",
        "transcript": None,
        "hypothesis": "",
        "asr_model_id": None,
        "word_confidences": None,
        "emotion": 0,
        "speaker": None,
        "session": None,
        "dialogue": None,
        "split": "test",
        "duration": 1.0,
    }


def test_json_lines_manifest_with_hypotheses_file(raw, build_here, tmp_path):
    rows = [{"path": "a.wav", "emotion": 3, "hypothesis": "old"}, {"path": "sub/b.wav", "emotion": 4}]
    (raw / "list.jsonl").write_text("\n\n".join(map(json.dumps, rows)))
    hypotheses = tmp_path / "hypotheses.jsonl"
    hypotheses.write_text(
        '{"id": "a", "hypothesis": "new", "asr_model_id": "org/asr", "word_confidences": [0.5]}\n'
        '{"file": "sub/b.wav", "hypothesis": "b"}\n'
    )
    arguments = ("--data_dir", raw / "list.jsonl", "--hypotheses", hypotheses, "--output_dir", tmp_path / "out")
    finished = build_here("manifest", *arguments)
    assert finished.returncode == 0, finished.stderr
    train = load(tmp_path)["train"]
    assert train["id"][:] == ["a", "sub/b"]
    assert train["hypothesis"][:] == ["new", "b"]
    assert train["asr_model_id"][:] == ["org/asr", None]
    assert train["word_confidences"][:] == [[0.5], None]
    assert train.features["emotion"].names == ["3", "4"]


@pytest.fixture
def bad_manifest(raw):
    (raw / "empty.wav").write_bytes(b"")
    soundfile.write(raw / "nan.wav", np.full(1600, np.nan, dtype=np.float32), 16_000, subtype="FLOAT")
    return write_csv(
        raw / "manifest.csv",
        ["path", "emotion", "id", "split"],
        ["a.wav", "joy", "one", "train"],
        ["gone.wav", "joy", "two", "train"],
        ["a.wav", "", "three", "train"],
        ["empty.wav", "joy", "four", "train"],
        ["a.wav", "joy", "one", "train"],
        ["a.wav", "joy", "six", "dev"],
        ["a.wav", "joy", "seven", ""],
        ["nan.wav", "joy", "eight", "train"],
        ["a.wav", "joy", "nine", "train", "more"],
        ["", "joy", "ten", "train"],
        ["sub/b.wav", "fear", "eleven", "test"],
    )


REASONS = {
    3: "there is no file gone.wav",
    4: "the emotion is empty",
    5: "empty.wav",
    6: "the id 'one' is already in line 2",
    7: "unknown split 'dev'; choose from train, validation, test",
    8: "unknown split ''",
    9: "nan.wav",
    10: "more values than columns",
    11: "the path is empty",
}


def named_rows(message):
    return {int(line.split(":")[0].split()[-1]): line for line in message.splitlines() if line.startswith("  line ")}


def test_bad_rows_are_named_and_nothing_is_written(bad_manifest, build, tmp_path):
    finished = build("manifest", "--data_dir", bad_manifest, "--output_dir", tmp_path / "out")
    assert finished.returncode == 1
    assert "Traceback" not in finished.stderr
    named = named_rows(finished.stderr)
    assert set(named) == set(REASONS)
    for line, reason in REASONS.items():
        assert reason in named[line]
    assert not list((tmp_path / "out").iterdir())


def test_bad_rows_of_an_unlabeled_manifest_are_counted(raw, build_here, tmp_path):
    write_csv(raw / "manifest.csv", ["path", "emotion", "id"], *(["a.wav", "", f"u{n}"] for n in range(100)))
    finished = build_here("manifest", "--data_dir", raw / "manifest.csv", "--output_dir", tmp_path / "out")
    assert finished.returncode == 1
    assert set(named_rows(finished.stderr)) == set(range(2, 22))
    assert "\n  and 80 more\n" in finished.stderr


def test_skip_bad_keeps_good_rows(bad_manifest, build_here, tmp_path):
    arguments = ("--data_dir", bad_manifest, "--output_dir", tmp_path / "out", "--skip_bad")
    finished = build_here("manifest", *arguments)
    assert finished.returncode == 0
    assert set(named_rows(finished.stderr)) == set(REASONS)
    dataset = load(tmp_path)
    assert {split: rows["id"][:] for split, rows in dataset.items()} == {"train": ["one"], "test": ["eleven"]}


def test_speakers_are_spread_over_the_splits(raw, build_here, tmp_path):
    rows = [["a.wav", "joy", f"u{n}", f"speaker{n % 20}"] for n in range(60)]
    manifest = write_csv(raw / "manifest.csv", ["path", "emotion", "id", "speaker"], *rows)
    assert build_here("manifest", "--data_dir", manifest, "--output_dir", tmp_path / "out").returncode == 0
    first = {split: set(rows["speaker"]) for split, rows in load(tmp_path).items()}
    assert {split: len(speakers) for split, speakers in first.items()} == {
        "train": 14,
        "validation": 3,
        "test": 3,
    }
    assert len(set.union(*first.values())) == 20

    write_csv(manifest, ["path", "emotion", "id", "speaker"], *reversed(rows))
    assert build_here("manifest", "--data_dir", manifest, "--output_dir", tmp_path / "out").returncode == 0
    assert {split: set(rows["speaker"]) for split, rows in load(tmp_path).items()} == first


def test_emotions_are_stratified_on_request(raw, build_here, tmp_path):
    rows = [["a.wav", "joy" if n < 40 else "fear", f"u{n}"] for n in range(60)]
    manifest = write_csv(raw / "manifest.csv", ["path", "emotion", "id"], *rows)
    arguments = ("--data_dir", manifest, "--output_dir", tmp_path / "out")
    finished = build_here("manifest", *arguments)
    assert "All recordings are in the split train: to hold some out, give at least three speakers" in finished.stderr
    assert list(load(tmp_path)) == ["train"]

    finished = build_here("manifest", *arguments, "--stratify")
    assert "who speaks in the test split may speak in training, too" in finished.stderr
    assert "who speaks in the test split" in (tmp_path / "out" / "README.md").read_text()
    first = {split: Counter(rows["emotion"]) for split, rows in load(tmp_path).items()}
    assert first == {"train": {0: 14, 1: 28}, "validation": {0: 3, 1: 6}, "test": {0: 3, 1: 6}}


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [("split", "train train test", "has a column split"), ("speaker", "1 2 3", "keeps speakers apart")],
)
def test_stratify_is_refused_where_more_is_known(column, values, message, raw, build_here, tmp_path):
    rows = [["a.wav", "joy", f"u{n}", value] for n, value in enumerate(values.split())]
    write_csv(raw / "manifest.csv", ["path", "emotion", "id", column], *rows)
    finished = build_here("manifest", "--data_dir", raw, "--output_dir", tmp_path / "out", "--stratify")
    assert finished.returncode == 1
    assert message in finished.stderr


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("manifest.csv", "path,feeling\na.wav,joy\n", "has no column emotion; it needs path and emotion"),
        ("manifest.csv", "", "has no column path"),
        ("manifest.jsonl", '{"path": "a.wav"\n[1]', "line 1: not JSON"),
        ("manifest.jsonl", '{"path": "a.wav"\n[1]', "line 2: not a JSON object"),
        ("manifest.csv", "path,emotion\n", "There is no utterance to write"),
        ("other.csv", "path,emotion\n", "No manifest.csv or manifest.jsonl in"),
    ],
)
def test_bad_manifest_is_one_message(raw, build_here, tmp_path, name, content, message):
    (raw / name).write_text(content)
    finished = build_here("manifest", "--data_dir", raw, "--output_dir", tmp_path / "out")
    assert finished.returncode == 1
    assert finished.stderr.startswith("error: ")
    assert message in finished.stderr


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"id": "a"}', "line 1: needs an id (or file) and a hypothesis, both strings"),
        ('{"id": 3, "hypothesis": "x"}', "line 1: needs an id"),
        ('{"id": "a", "hypothesis": "x"}\nnonsense', "line 2: not JSON"),
        (None, "Cannot read"),
    ],
)
def test_bad_hypotheses_file_is_one_message(raw, build_here, tmp_path, content, message):
    write_csv(raw / "manifest.csv", ["path", "emotion"], ["a.wav", "joy"])
    hypotheses = tmp_path / "hypotheses.jsonl"
    if content is not None:
        hypotheses.write_text(content)
    arguments = ("--data_dir", raw, "--hypotheses", hypotheses, "--output_dir", tmp_path / "out")
    finished = build_here("manifest", *arguments)
    assert finished.returncode == 1
    assert message in finished.stderr


def test_transcribed_folder_is_known_to_manifest(raw, build_here, tmp_path):
    (raw / "sub" / "b.wav").rename(raw / "sub" / "a.wav")
    manifest = write_csv(tmp_path / "list.csv", ["path", "emotion"], ["raw/a.wav", "joy"], ["raw/sub/a.wav", "fear"])
    ids = load_rows(raw)["id"][:]
    hypotheses = tmp_path / "hypotheses.jsonl"
    hypotheses.write_text("".join(json.dumps({"id": id, "hypothesis": id}) + "\n" for id in ids))
    arguments = ("--data_dir", manifest, "--hypotheses", hypotheses, "--output_dir", tmp_path / "out")
    finished = build_here("manifest", *arguments)
    assert finished.returncode == 0, finished.stderr
    assert load(tmp_path)["train"]["hypothesis"][:] == ["a", "sub/a"]


def test_hypotheses_of_other_recordings_are_refused(raw, build_here, tmp_path):
    write_csv(raw / "manifest.csv", ["path", "emotion"], ["a.wav", "joy"])
    hypotheses = tmp_path / "hypotheses.jsonl"
    hypotheses.write_text('{"id": "z", "hypothesis": "well"}\n')
    finished = build_here("manifest", "--data_dir", raw, "--hypotheses", hypotheses, "--output_dir", tmp_path / "out")
    assert finished.returncode == 1
    assert "none of its 1 hypotheses, such as that of 'z'" in finished.stderr
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("manifest.csv", "path,emotion,hyp\na.wav,joy,yes\n", "no column hypothesis but 'hyp'; name it hypothesis"),
        ("manifest.csv", "path,emotion,speaker_id\na.wav,joy,1\n", "no column speaker but 'speaker_id'"),
        ("manifest.csv", "path,Emotion\na.wav,joy\n", "no column emotion but 'Emotion'"),
        ("manifest.jsonl", '{"path": "a.wav", "emotion": "joy", "transcripts": "yes"}', "but 'transcripts'"),
    ],
)
def test_misspelt_column_is_refused(raw, build_here, tmp_path, name, content, message):
    (raw / name).write_text(content)
    finished = build_here("manifest", "--data_dir", raw, "--output_dir", tmp_path / "out")
    assert finished.returncode == 1
    assert message in finished.stderr


def test_other_columns_are_named_and_not_used(raw, build_here, tmp_path):
    header = ["path", "emotion", "emotion_id", "arousal"]
    write_csv(raw / "manifest.csv", header, ["a.wav", "joy", "3", "0.2"])
    finished = build_here("manifest", "--data_dir", raw, "--output_dir", tmp_path / "out")
    assert finished.returncode == 0
    assert "columns that are not used: emotion_id, arousal (known: path, emotion, id, " in finished.stderr


def test_emotions_that_differ_in_case_are_refused(raw, build_here, tmp_path):
    write_csv(raw / "manifest.csv", ["path", "emotion"], ["a.wav", "Joy"], ["sub/b.wav", "joy"])
    finished = build_here("manifest", "--data_dir", raw, "--output_dir", tmp_path / "out")
    assert finished.returncode == 1
    assert "'Joy' (line 2) and 'joy' (line 3) differ only in case" in finished.stderr


def test_missing_manifest_is_named(build_here, tmp_path):
    finished = build_here("manifest", "--data_dir", tmp_path / "nope.csv", "--output_dir", tmp_path / "out")
    assert finished.stderr.startswith(f"error: There is no file or folder {tmp_path / 'nope.csv'}")


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_manifest_of_european_spreadsheet(delimiter, raw, build_here, tmp_path):
    rows = [["path", "emotion", "transcript"], ["a.wav", "żal", "Rtęć, źle"], ["sub/b.wav", "Überraschung", "Grüße"]]
    (raw / "manifest.csv").write_text("\r\n".join(map(delimiter.join, rows)), encoding="utf-8-sig")
    finished = build_here("manifest", "--data_dir", raw, "--output_dir", tmp_path / "out")
    assert finished.returncode == 0, finished.stderr
    train = load(tmp_path)["train"]
    assert train["transcript"][:] == ["Rtęć, źle", "Grüße"]
    assert train.features["emotion"].names == ["Überraschung", "żal"]


def test_manifest_in_another_encoding_is_refused(raw, build_here, tmp_path):
    (raw / "manifest.csv").write_text("path,emotion\na.wav,Überraschung\n", encoding="cp1252")
    finished = build_here("manifest", "--data_dir", raw, "--output_dir", tmp_path / "out")
    assert "manifest.csv: it is not in UTF-8; save it as UTF-8" in finished.stderr
