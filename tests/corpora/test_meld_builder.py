"""MELD: its real CSVs, and its layout and faults with clips made on the spot."""

import csv
import json
from collections import Counter

import datasets
import numpy as np
import pytest

from experiments.fake_releases import CLIP_RATE, tone, write_video
from m4ser.corpora import meld
from m4ser.data.builders.hypotheses import Hypotheses
from m4ser.data.builders.release import ReleaseReport
from m4ser.data.schema import DataError
from m4ser.model.audio_m4ser import load_audio

SEVEN = ["neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger"]
COLUMNS = (
    *("Sr No.", "Utterance", "Speaker", "Emotion", "Sentiment", "Dialogue_ID", "Utterance_ID"),
    *("Season", "Episode", "StartTime", "EndTime"),
)


def load(folder, cache):
    return datasets.load_dataset(str(folder), cache_dir=str(cache))


@pytest.fixture
def csvs(shared_data):
    """The rows of the real CSVs by split."""
    files = {"train": "train", "validation": "dev", "test": "test"}
    return {
        split: list(csv.DictReader(open(shared_data / "meld" / f"{name}_sent_emo.csv", encoding="utf-8", newline="")))
        for split, name in files.items()
    }


def test_the_real_texts(shared_data, csvs, build_here, tmp_path):
    arguments = ("--data_dir", shared_data / "meld", "--output_dir", tmp_path / "out", "--text_only")
    finished = build_here("meld", *arguments)
    assert finished.returncode == 0, finished.stderr
    assert "13,708 rows in the CSVs" in finished.stdout
    dataset = load(tmp_path / "out", tmp_path / "cache")
    assert {split: len(rows) for split, rows in dataset.items()} == {"train": 9989, "validation": 1109, "test": 2610}
    total = Counter()
    dialogues = []
    for split, rows in dataset.items():
        assert rows.features["emotion"].names == SEVEN
        assert all(audio is None for audio in rows["audio"])
        assert rows["transcript"][:] == [row["Utterance"] for row in csvs[split]]  # typographic quotes and all
        assert rows["speaker"][:] == [row["Speaker"] for row in csvs[split]]
        assert [SEVEN[emotion] for emotion in rows["emotion"]] == [row["Emotion"] for row in csvs[split]]
        total.update(SEVEN[emotion] for emotion in rows["emotion"])
        dialogues.append(set(rows["dialogue"]))
    assert total == {
        "neutral": 6436,
        "joy": 2308,
        "anger": 1607,
        "surprise": 1636,
        "sadness": 1002,
        "disgust": 361,
        "fear": 358,
    }
    assert list(map(len, dialogues)) == [1038, 114, 280]
    assert len(set.union(*dialogues)) == 1038 + 114 + 280


def test_four_classes_by_the_names_of_iemocap(shared_data, build_here, tmp_path):
    hypotheses = tmp_path / "hypotheses.jsonl"
    hypotheses.write_text('{"id": "test_dia0_utt1", "hypothesis": "so monica"}\n')
    arguments = ("--data_dir", shared_data / "meld", "--output_dir", tmp_path / "out", "--labels", "4")
    arguments += ("--text_only", "--hypotheses", hypotheses)
    finished = build_here("meld", *arguments)
    assert finished.returncode == 1
    assert (
        "(there is one for train 0 of 8,245, validation 0 of 897, test 1 of 2,211)" in finished.stderr
        and "--allow_missing_text" in finished.stderr
    )
    finished = build_here("meld", *arguments, "--allow_missing_text")
    assert finished.returncode == 0, finished.stderr
    dataset = load(tmp_path / "out", tmp_path / "cache")
    assert dataset["train"].features["emotion"].names == ["angry", "happy", "neutral", "sad"]
    counts = Counter(emotion for rows in dataset.values() for emotion in rows["emotion"])
    assert counts == {0: 1607, 1: 2308, 2: 6436, 3: 1002}
    row = next(row for row in dataset["test"] if row["id"] == "test_dia0_utt1")
    assert row["transcript"].startswith("Oh. That\u2019s so Monica can keep track.")
    assert (row["hypothesis"], row["speaker"], row["dialogue"]) == ("so monica", "Rachel", "test_0")
    assert row["duration"] == pytest.approx(6.756, abs=1e-3)


def write_csv(path, *rows):
    """Rows of dialogue, number, emotion, seconds and where it matters a text."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for dialogue, number, emotion, seconds, *text in rows:
            values = {
                "Utterance": text[0] if text else "Well, it\u2019s fine.",
                "Speaker": "Joey",
                "Emotion": emotion,
                "Dialogue_ID": dialogue,
                "Utterance_ID": number,
                "StartTime": "00:01:58,500",
                "EndTime": time_after(118.5 + seconds),
            }
            writer.writerow(dict.fromkeys(COLUMNS, 1) | values)


def time_after(seconds):
    minutes, seconds = divmod(seconds, 60)
    return f"00:{minutes:02.0f}:{seconds:06.3f}".replace(".", ",")


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """MELD.Raw in small, with each of its faults."""
    folder = tmp_path_factory.mktemp("MELD.Raw")
    write_csv(
        folder / "train_sent_emo.csv",
        (0, 0, "neutral", 1.0),
        (0, 1, "joy", 0.15, "Thank you. " * 5),
        (125, 3, "neutral", 1.0),
        (0, 2, "fear", 2.0),
    )
    write_csv(folder / "dev_sent_emo.csv", (0, 0, "anger", 1.0), (110, 7, "neutral", 1.0))
    write_csv(folder / "test_sent_emo.csv", (0, 0, "sadness", 1.0), (38, 4, "joy", 62.0), (93, 5, "surprise", 1.0))
    clips = {
        "train/train_splits": {"dia0_utt0": 1.0, "dia0_utt1": 0.15, "dia0_utt2": 1.0},
        "dev/dev_splits_complete": {"dia0_utt0": 1.0, "dia66_utt9": 0.5},
        "test/output_repeated_splits_test": {
            "dia0_utt0": 3.0,
            "final_videos_testdia0_utt0": 1.0,
            "dia38_utt4": 62.0,
            "final_videos_testdia93_utt5": 1.0,
        },
    }
    for name, seconds in clips.items():
        (folder / name).mkdir(parents=True)
        for clip, length in seconds.items():
            write_video(folder / name / f"{clip}.mp4", tone(length, CLIP_RATE))
    (folder / "train/train_splits/dia125_utt3.mp4").write_bytes(b"\0" * 1000)
    (folder / "test/output_repeated_splits_test/._dia0_utt0.mp4").write_bytes(b"\0\5\x16\7" * 50)
    return folder


def test_clips_become_16_khz_and_faults_are_listed(raw, build_here, tmp_path):
    finished = build_here("meld", "--data_dir", raw, "--output_dir", tmp_path / "out", "--allow_partial")
    assert finished.returncode == 0, finished.stderr
    dataset = load(tmp_path / "out", tmp_path / "cache")
    seconds = {row["id"]: row["duration"] for split in dataset.values() for row in split}
    assert seconds == {
        "train_dia0_utt0": pytest.approx(1, abs=0.05),
        "train_dia0_utt1": pytest.approx(0.15, abs=0.05),
        "train_dia0_utt2": pytest.approx(1, abs=0.05),
        "dev_dia0_utt0": pytest.approx(1, abs=0.05),
        "test_dia0_utt0": pytest.approx(1, abs=0.05),
        "test_dia38_utt4": 30,
        "test_dia93_utt5": pytest.approx(1, abs=0.05),
    }
    row = dataset["train"][0]
    sound = load_audio(row["audio"])
    assert row["audio"]["path"] == "train_dia0_utt0.flac"
    assert len(sound) == pytest.approx(16_000 * row["duration"], abs=1)
    assert np.argmax(np.abs(np.fft.rfft(sound[:16_000]))) == 220
    assert (row["transcript"], row["dialogue"], row["split"]) == ("Well, it\u2019s fine.", "train_0", "train")

    report = json.loads((tmp_path / "out" / "report.json").read_text())
    del report["differences from the release as published"]  # of as many rows as there are not
    lines = {kind: [line.split(":")[0] for line in lines] for kind, lines in report.items()}
    assert lines == {
        "._ files, which are no clips": ["output_repeated_splits_test/._dia0_utt0.mp4"],
        "files without a row in the CSVs": ["dev_splits_complete/dia66_utt9.mp4"],
        "clips of 0.2 s or less": ["train_dia0_utt1"],
        "texts of more than 30 characters a second": ["train_dia0_utt1"],
        "recordings that differ from their annotated times by more than 0.5 s": ["train_dia0_utt2"],
        "rows with a final_videos_test clip, and which is used": ["test_dia0_utt0", "test_dia93_utt5"],
        "clips over 60 s, of which 30 s stay": ["test_dia38_utt4"],
        "9 rows in the CSVs, 9 of these classes, 7 usable; left out": ["train_dia125_utt3", "dev_dia110_utt7"],
    }
    assert "9 rows in the CSVs, 9 of these classes, 7 usable; left out: 2 (" in finished.stdout
    assert "test_dia0_utt0: final_videos_testdia0_utt0.mp4" in (tmp_path / "out" / "README.md").read_text()


def test_differing_release_is_refused(raw, build_here, tmp_path):
    finished = build_here("meld", "--data_dir", raw, "--output_dir", tmp_path / "out")
    assert finished.returncode == 1
    assert "train_sent_emo.csv: 2 utterances of neutral instead of 4710" in finished.stderr
    assert not (tmp_path / "out").exists()


def read(raw):
    """What the builder reads and reports, apart from the number of rows."""
    report = ReleaseReport()
    rows = meld.read_csvs(raw, ReleaseReport())
    clips = meld.find_clips(raw, rows, meld.SEVEN, report)
    report.check()
    return [utterance.id for utterance in meld.read_utterances(rows, clips, meld.SEVEN, Hypotheses(), report)]


def test_the_two_known_faults_stop_nothing(raw):
    assert len(read(raw)) == 7


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "train_dia0_utt0: there is no clip"), (b"no mp4", "train_dia0_utt0: no sound can be read from dia0_utt0")],
)
def test_missing_or_damaged_clip_is_named(raw, content, message):
    clip = raw / "train/train_splits/dia0_utt0.mp4"
    kept = clip.rename(raw / "kept.mp4")
    try:
        if content is not None:
            clip.write_bytes(content)
        with pytest.raises(DataError, match=message):
            read(raw)
    finally:
        kept.replace(clip)


def test_a_missing_folder_of_clips_is_named_once(raw, tmp_path):
    report = ReleaseReport()
    meld.find_clips(tmp_path, meld.read_csvs(raw, ReleaseReport()), meld.SEVEN, report)
    assert report.differences == [
        "train_splits: there is no such folder",
        "dev_splits_complete: there is no such folder",
        "output_repeated_splits_test: there is no such folder",
    ]


def test_missing_csvs_are_one_message(build_here, tmp_path):
    arguments = ("--data_dir", tmp_path, "--output_dir", tmp_path / "out", "--text_only")
    assert "There is no train_sent_emo.csv in" in build_here("meld", *arguments).stderr
    (tmp_path / "train_sent_emo.csv").write_text("a,b\n1,2\n")
    finished = build_here("meld", *arguments)
    assert finished.returncode == 1
    assert "train_sent_emo.csv is not as MELD publishes it" in finished.stderr
