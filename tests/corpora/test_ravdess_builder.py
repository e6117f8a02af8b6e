"""RAVDESS against its labels.csv, which the builder does not take the labels from, and in the release's layout."""

import csv
import shutil

import datasets
import jiwer
import numpy as np
import pytest
import soundfile

from m4ser.data.tokenizer import basic_normalizer
from m4ser.model.audio_m4ser import load_audio

EMOTIONS = ["neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised"]


def load(folder, cache):
    return datasets.load_dataset(str(folder), cache_dir=str(cache))


@pytest.fixture(scope="module")
def ravdess(shared_data, build, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ravdess")
    finished = build("ravdess", "--data_dir", shared_data / "ravdess16k", "--output_dir", folder / "out")
    assert finished.returncode == 0, finished.stderr
    return load(folder / "out", folder / "cache")


def test_corpus_agrees_with_its_labels(ravdess, shared_data):
    with open(shared_data / "ravdess16k" / "labels.csv", newline="") as file:
        labels = {row["file"].removesuffix(".flac"): row for row in csv.DictReader(file)}
    assert {split: len(rows) for split, rows in ravdess.items()} == {
        "train": 1080,
        "validation": 120,
        "test": 240,
    }
    assert ravdess["train"].features["emotion"].names == EMOTIONS
    for split, actors in {"train": range(1, 19), "validation": range(19, 21), "test": range(21, 25)}.items():
        rows = ravdess[split].remove_columns("audio")
        assert set(rows["speaker"]) == {f"actor{actor:02d}" for actor in actors}
        for row in rows:
            label = labels.pop(row["id"])
            assert EMOTIONS[row["emotion"]] == label["emotion"]
            assert row["transcript"] == label["transcript"]
            assert row["speaker"] == f"actor{int(label['actor']):02d}"
            assert row["duration"] == pytest.approx(float(label["seconds"]), abs=1e-3)
            assert row["split"] == split
            assert row["sex"] == label["gender"]
    assert not labels


def test_hypotheses_and_recordings_are_unchanged(ravdess, shared_data):
    row = ravdess["train"][0]
    assert row["id"] == "03-01-01-01-01-01-01"
    assert row["hypothesis"] == "to talk to my the door"
    assert row["audio"]["bytes"] == (shared_data / f"ravdess16k/flac/{row['id']}.flac").read_bytes()

    normalize = basic_normalizer().normalize_str
    rows = [row for split in ravdess.values() for row in split.select_columns(["transcript", "hypothesis"])]
    references, hypotheses = ([normalize(row[name]) for row in rows] for name in ("transcript", "hypothesis"))
    assert round(100 * jiwer.wer(references, hypotheses), 1) == 54.2


@pytest.fixture
def release(tmp_path):
    """Two recordings as the release has them: 48 kHz, one stereo, in a folder an actor, beside a song."""
    time = np.arange(24_000) / 48_000
    tone = 0.3 * np.sin(2 * np.pi * 300 * time)
    files = {
        "Actor_07/03-01-06-02-02-01-07.wav": tone,
        "Actor_22/03-01-08-01-01-02-22.wav": np.stack([tone, tone], axis=1),
        "Actor_22/03-02-08-01-01-02-22.wav": tone,
        "copy/Actor_07/03-01-06-02-02-01-07.wav": tone,
    }
    for name, samples in files.items():
        path = tmp_path / "raw" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, samples, 48_000)
    return tmp_path / "raw"


def test_release_becomes_16_khz_mono(release, build_here, tmp_path):
    hypotheses = tmp_path / "hypotheses.jsonl"
    hypotheses.write_text('{"id": "03-01-06-02-02-01-07", "hypothesis": "dogs"}\n')
    arguments = ("--data_dir", release, "--hypotheses", hypotheses, "--output_dir", tmp_path / "out")
    assert "train 1 of 1, test 0 of 1" in build_here("ravdess", *arguments).stderr
    arguments += ("--allow_missing_text",)
    finished = build_here("ravdess", *arguments)
    assert finished.returncode == 0, finished.stderr
    dataset = load(tmp_path / "out", tmp_path / "cache")

    assert {split: rows["id"][:] for split, rows in dataset.items()} == {
        "train": ["03-01-06-02-02-01-07"],
        "test": ["03-01-08-01-01-02-22"],
    }
    train, test = dataset["train"][0], dataset["test"][0]
    assert (EMOTIONS[train["emotion"]], EMOTIONS[test["emotion"]]) == ("fearful", "surprised")
    assert (train["hypothesis"], test["hypothesis"]) == ("dogs", None)
    assert train["transcript"] == "Dogs are sitting by the door"
    expected = 0.3 * np.sin(2 * np.pi * 300 * np.arange(8000) / 16_000)
    for row in (train, test):
        assert row["duration"] == pytest.approx(0.5)
        assert np.abs(load_audio(row["audio"]) - expected)[200:-200].max() < 1e-3


def test_corrupt_recording_stops_the_build(release, build_here, tmp_path):
    corrupt = release / "Actor_22" / "03-01-08-01-01-02-22.wav"
    corrupt.write_bytes(b"RIFF and no more")
    finished = build_here("ravdess", "--data_dir", release, "--output_dir", tmp_path / "out")
    assert finished.returncode == 1
    assert corrupt.name in finished.stderr
    assert "Traceback" not in finished.stderr
    assert not list((tmp_path / "out").iterdir())


def test_missing_listed_recording_is_named(release, build_here, tmp_path):
    (release / "labels.csv").write_text("file\n03-01-06-02-02-01-07.wav\n03-01-02-01-01-01-09.wav\n")
    shutil.rmtree(release / "copy")
    finished = build_here("ravdess", "--data_dir", release, "--output_dir", tmp_path / "out")
    assert finished.returncode == 1
    assert "03-01-02-01-01-01-09.wav" in finished.stderr
    assert "03-01-06-02-02-01-07.wav" not in finished.stderr


def test_other_folder_is_refused(build_here, tmp_path):
    finished = build_here("ravdess", "--data_dir", tmp_path, "--output_dir", tmp_path / "out")
    assert finished.returncode == 1
    assert finished.stderr.startswith("error: No RAVDESS recording such as")
