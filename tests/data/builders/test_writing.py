"""What is written is what load_dataset reads, and a failure leaves the former dataset as it was."""

import io
import json
import multiprocessing
import os
import random
import signal
import time
import weakref
from contextlib import nullcontext, suppress
from pathlib import Path

import datasets
import numpy as np
import pytest
import soundfile
import yaml

from m4ser.data.builders.builder_cli import encode_flac
from m4ser.data.builders.card import summary
from m4ser.data.builders.writing import write_dataset
from m4ser.data.labels import aligned_labels
from m4ser.data.loading import load_dataset
from m4ser.data.schema import COLUMNS, ROWS_PER_BATCH, DataError, Utterance, features
from m4ser.data.tokenizer import train_tokenizer
from m4ser.evaluation.transcripts import word_error_rates

LABELS = ("sad", "happy")
CARD = {"title": "A corpus", "description": "For a test."}


def utterance(number=0, **changes):
    samples = np.random.default_rng(number).uniform(-0.5, 0.5, 1600)
    fields = {
        "id": f"u{number}",
        "audio": encode_flac(samples),
        "path": f"u{number}.flac",
        "emotion": LABELS[number % 2],
        "duration": 0.1,
        "split": ("train", "test", "train")[number % 3],
        "transcript": "It's GOOD",
        "hypothesis": "its wood",
        "asr_model_id": None,
        "speaker": f"s{number % 3}",
    }
    return Utterance(**fields | changes)


@pytest.fixture
def load(tmp_path):
    return lambda folder: datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))


def test_written_dataset_is_read_back(tmp_path, load):
    confidences = {3: [0.9, 0.25]}
    written = [utterance(number, word_confidences=confidences.get(number)) for number in range(6)]
    write_dataset(written, LABELS, tmp_path / "out", **CARD)
    dataset = load(tmp_path / "out")

    assert {split: rows["id"][:] for split, rows in dataset.items()} == {
        "train": ["u0", "u2", "u3", "u5"],
        "test": ["u1", "u4"],
    }
    assert dataset["train"].features == features(LABELS)
    assert tuple(dataset["train"].column_names) == COLUMNS
    assert dataset["train"][0]["word_confidences"] is None
    row = dataset["train"][2]
    assert row.pop("audio") == {"bytes": written[3].audio, "path": "u3.flac"}
    assert row.pop("duration") == pytest.approx(0.1)
    assert row == {
        "id": "u3",
        "transcript": "It's GOOD",
        "hypothesis": "its wood",
        "asr_model_id": None,
        "word_confidences": pytest.approx([0.9, 0.25]),
        "emotion": 1,
        "speaker": "s0",
        "session": None,
        "dialogue": None,
        "split": "train",
    }
    assert dataset["train"].features["emotion"].int2str(1) == "happy"


def test_tokenizer_adds_label_columns(tmp_path, load):
    tokenizer = train_tokenizer(["its good wood"] * 3, vocab_size=60)
    write_dataset(
        [utterance(0, hypothesis="", transcript=None), utterance(2)], LABELS, tmp_path, tokenizer=tokenizer, **CARD
    )
    for row in load(tmp_path)["train"]:
        expected = aligned_labels(tokenizer, row["hypothesis"], row["transcript"])
        assert {name: row[name] for name in expected} == expected


def test_card_counts_labels(tmp_path):
    tokenizer = train_tokenizer(["its good wood"] * 3, vocab_size=60)
    rows = [utterance(0, hypothesis="its wood wood"), utterance(2), utterance(1, hypothesis=None)]
    statistics = write_dataset(rows, LABELS, tmp_path, tokenizer=tokenizer, **CARD)
    # [CLS] its wood->good (wood) and [CLS] its wood->good; a replacement and its end are two tokens.
    table = "| train | 7 | 57.1 % | 14.3 % | 28.6 % | 2 | 2 | 2 | 2 | 0 |"
    assert table in (tmp_path / "README.md").read_text()
    assert table in summary(LABELS, statistics)
    write_dataset(rows[2:], LABELS, tmp_path, tokenizer=tokenizer, **CARD)
    assert "KEEP" not in (tmp_path / "README.md").read_text()


def with_hypotheses(count, total=200):
    return [utterance(3 * number, hypothesis="its" if number < count else None) for number in range(total)]


def test_missing_hypotheses_are_refused(tmp_path):
    kept = write_dataset(with_hypotheses(198), LABELS, tmp_path, allow_missing_text=False, **CARD)
    assert kept["train"].with_hypothesis == 198 and "| 198 |" in summary(LABELS, kept)
    with pytest.raises(DataError, match=r"no hypothesis \(there is one for train 197 of 200\): transcribe the rest"):
        write_dataset(with_hypotheses(197), LABELS, tmp_path, allow_missing_text=False, **CARD)
    assert "| 198 |" in (tmp_path / "README.md").read_text()
    write_dataset(with_hypotheses(1), LABELS, tmp_path, **CARD)
    write_dataset(with_hypotheses(0), LABELS, tmp_path, allow_missing_text=False, **CARD)  # to be transcribed


def test_extra_columns(tmp_path, load):
    kinds = {"improvised": datasets.Value("bool"), "remark": datasets.Value("string")}
    rows = [utterance(number, extra={"improvised": number == 2, "remark": None}) for number in (0, 2)]
    write_dataset(rows, LABELS, tmp_path, extra_columns=kinds, **CARD)
    train = load(tmp_path)["train"]
    assert tuple(train.column_names) == (*COLUMNS, "improvised", "remark")
    assert train.features == features(LABELS, kinds)
    assert train["improvised"][:] == [False, True]
    for extra in ({}, {"improvised": True}, {"improvised": True, "remark": "", "more": 1}):
        with pytest.raises(DataError, match=r"'u0' needs exactly the extra columns \['improvised', 'remark'\]"):
            write_dataset([utterance(0, extra=extra)], LABELS, tmp_path, extra_columns=kinds, **CARD)


def test_text_only_rows(tmp_path, load):
    rows = [utterance(0, audio=None, path=None, duration=0.0), utterance(2, audio=None, path=None, duration=1.5)]
    write_dataset(rows, LABELS, tmp_path, **CARD)
    train = load(tmp_path)["train"]
    assert train.features == features(LABELS)
    assert train["audio"][:] == [None, None]
    assert train["duration"][:] == [0, 1.5]


def test_findings_in_report_and_card(tmp_path, load):
    findings = {"odd files": ["a", "b", "c", "d"], "nothing": []}
    statistics = write_dataset([utterance()], LABELS, tmp_path, findings=findings, **CARD)
    assert json.loads((tmp_path / "report.json").read_text()) == findings
    for text in ((tmp_path / "README.md").read_text(), summary(LABELS, statistics, findings)):
        assert "- odd files: 4 (a, b, c, ...)\n- nothing: 0" in text
    assert load(tmp_path)["train"]["id"][:] == ["u0"]
    write_dataset([utterance()], LABELS, tmp_path, **CARD)
    assert not (tmp_path / "report.json").exists()


def test_card_counts_by_split_and_emotion(tmp_path):
    write_dataset([utterance(number) for number in range(6)], LABELS, tmp_path, license_id="cc0-1.0", **CARD)
    _, header, body = (tmp_path / "README.md").read_text().split("---\n", 2)
    header = yaml.safe_load(header)
    assert header["license"] == "cc0-1.0"
    assert header["configs"][0]["data_files"] == [
        {"split": "train", "path": "data/train-*"},
        {"split": "test", "path": "data/test-*"},
    ]
    # train: u0 and u2 are sad, u3 and u5 happy; of three words (it is good / its wood) all are wrong.
    assert "| train | 2 | 2 | 4 | 0.0 | 2 | 4 | 100.0 % |" in body
    assert "| test | 1 | 1 | 2 | 0.0 | 1 | 2 | 100.0 % |" in body


def test_card_and_m4ser_wer_agree(tmp_path, load):
    texts = [("I'm two", "[LAUGHTER] I am 2, uh."), ("a thank you", ""), ("colour", "Colour (softly) it's")]
    rows = [utterance(3 * index, hypothesis=one, transcript=two) for index, (one, two) in enumerate(texts)]
    write_dataset(rows, LABELS, tmp_path, **CARD)
    rate = word_error_rates(load(tmp_path))["overall"]["wer"]
    assert rate == 5 / 6  # i am 2 | colour it is: three words too many, two missing
    assert f"| {100 * rate:.1f} % |" in (tmp_path / "README.md").read_text()


def test_memory_holds_one_batch(tmp_path):
    alive = weakref.WeakSet()
    most = 0

    def utterances():
        nonlocal most
        for number in range(4 * ROWS_PER_BATCH):
            one = utterance(number)
            alive.add(one)
            most = max(most, len(alive))
            yield one

    write_dataset(utterances(), LABELS, tmp_path, **CARD)
    assert most <= 2 * ROWS_PER_BATCH


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (lambda: utterance(1, emotion="bored"), "'u1' has the unknown emotion 'bored'; choose from sad, happy"),
        (lambda: utterance(0), "The id 'u0' comes twice"),
        (lambda: utterance(1, duration=0.0), "'u1' lasts 0.0 s"),
    ],
)
def test_bad_utterance_keeps_former_dataset(tmp_path, load, bad, message):
    out = tmp_path / "out"
    write_dataset([utterance(8)], LABELS, out, **CARD)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}

    def utterances():
        yield utterance(0)
        yield bad()

    with pytest.raises(DataError, match=message):
        write_dataset(utterances(), LABELS, out, **CARD)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    assert sorted(path.name for path in out.iterdir()) == ["README.md", "data"]


def test_rebuilt_dataset_is_not_read_from_cache(tmp_path, load):
    for folder, number in (("a/out", 0), ("a/out", 2), ("b/out", 4), ("a/out", 0)):
        write_dataset([utterance(number, id="u")], LABELS, tmp_path / folder, **CARD)
        row = load(tmp_path / folder)[utterance(number).split][0]
        assert row["audio"]["bytes"] == utterance(number).audio


def test_rebuild_replaces_dataset_only(tmp_path, load):
    out = tmp_path / "out"
    write_dataset([utterance(0), utterance(1)], LABELS, out, **CARD)
    (out / "notes.txt").write_text("mine")
    write_dataset([utterance(3)], LABELS, out, **CARD)
    assert {split: rows["id"][:] for split, rows in load(out).items()} == {"train": ["u3"]}
    assert (out / "notes.txt").read_text() == "mine"


FORMER, NEW = [utterance(number) for number in range(2)], [utterance(number) for number in (3, 6)]
IDS = {"train": ["u0"], "test": ["u1"]}, {"train": ["u3", "u6"]}


def state(folder):
    """The ids by split as they load, and whether the card is that of these splits."""
    splits = load_dataset(folder)
    card = (folder / "README.md").read_text()
    assert ("data/test-*" in card) == ("test" in splits) == (not (folder / "report.json").exists())
    return {split: rows["id"][:] for split, rows in splits.items()}


def write_new(folder):
    write_dataset(NEW, LABELS, folder, findings={"odd": ["a"]}, **CARD)


@pytest.mark.parametrize("renames", range(8))
def test_stopped_between_renames(renames, tmp_path, monkeypatch):
    """Once the new dataset is complete, whoever loads it moves the rest of its files."""
    write_dataset(FORMER, LABELS, tmp_path, **CARD)
    done = []

    def stopping(rename):
        def step(*paths):
            if len(done) == renames:
                raise KeyboardInterrupt
            rename(*paths)
            done.append(paths)

        return step

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", stopping(Path.rename))
        patch.setattr(os, "replace", stopping(os.replace))
        with pytest.raises(KeyboardInterrupt) if renames < 7 else nullcontext():
            write_new(tmp_path)
    # The card and the report are written as wholes by a rename each, and the third completes the dataset.
    assert state(tmp_path) == IDS[renames > 2]
    write_new(tmp_path)
    assert state(tmp_path) == IDS[1]
    assert {path.name for path in tmp_path.iterdir()} == {"README.md", "data", "report.json"}


def write_on_and_on(folder):
    while True:
        write_new(folder)
        write_dataset(FORMER, LABELS, folder, **CARD)


@pytest.mark.parametrize("kills", [2, pytest.param(10, marks=pytest.mark.soak)])
def test_killed_at_random_moments(kills, tmp_path):
    context, draw = multiprocessing.get_context("forkserver"), random.Random(0)
    context.set_forkserver_preload(["tests.data.builders.test_writing"])
    write_dataset(FORMER, LABELS, tmp_path, **CARD)
    for _ in range(kills):
        before = (tmp_path / "README.md").stat().st_mtime_ns
        worker = context.Process(target=write_on_and_on, args=(tmp_path,))
        worker.start()
        while worker.is_alive():
            with suppress(FileNotFoundError):
                if (tmp_path / "README.md").stat().st_mtime_ns != before:
                    break
            time.sleep(0.001)
        time.sleep(draw.uniform(0, 0.1))
        worker.kill()
        worker.join()
        assert worker.exitcode == -signal.SIGKILL
        assert state(tmp_path) in IDS


@pytest.mark.parametrize("name", ["data/thesis.txt", "data/table.parquet", "README.md"])
def test_other_folders_are_not_overwritten(tmp_path, name):
    mine = tmp_path / name
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("years of work")
    with pytest.raises(DataError, match="holds other things than a dataset"):
        write_dataset([utterance()], LABELS, tmp_path, **CARD)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [mine]
    assert mine.read_text() == "years of work"


def test_empty_dataset_is_refused(tmp_path):
    with pytest.raises(DataError, match="no utterance"):
        write_dataset([], LABELS, tmp_path, **CARD)


def test_flac_keeps_16_bits():
    samples = np.linspace(-0.9, 0.9, 1000)
    decoded, rate = soundfile.read(io.BytesIO(encode_flac(samples)))
    assert rate == 16_000
    assert np.abs(decoded - samples).max() <= 2**-15
