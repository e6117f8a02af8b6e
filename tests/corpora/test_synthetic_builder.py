"""The demo corpus as a user builds it."""

import datasets

from m4ser.data.labels import aligned_labels
from m4ser.data.synthetic import EMOTIONS, synthesize
from m4ser.data.tokenizer import train_tokenizer
from m4ser.model.audio_m4ser import load_audio

SIZES = {"train": 12, "validation": 4, "test": 8}


def test_builds_the_corpus_of_the_seed(build, tmp_path):
    made = list(synthesize(3, SIZES))
    tokenizer = train_tokenizer([u.transcript for u in made], vocab_size=100)
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    sizes = [part for split, size in SIZES.items() for part in (f"--{split}_size", size)]
    arguments = ["--seed", 3, *sizes, "--tokenizer", tmp_path / "tokenizer"]
    finished = build("synthetic", "--output_dir", tmp_path / "out", *arguments)
    assert finished.returncode == 0, finished.stderr

    dataset = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert {split: len(rows) for split, rows in dataset.items()} == SIZES
    assert dataset["train"].features["emotion"].names == list(EMOTIONS)
    rows = {row["id"]: row for split in dataset.values() for row in split}
    for utterance in made:
        row = rows[utterance.id]
        assert EMOTIONS[row["emotion"]] == utterance.emotion
        assert (row["speaker"], row["hypothesis"]) == (utterance.speaker, utterance.hypothesis)
        assert abs(load_audio(row["audio"]) - utterance.audio).max() < 2**-15
        labels = aligned_labels(tokenizer, utterance.hypothesis, utterance.transcript)
        assert {name: row[name] for name in labels} == labels


def test_an_unknown_tokenizer_is_one_message(build_here, tmp_path):
    finished = build_here("synthetic", "--output_dir", tmp_path / "out", "--tokenizer", tmp_path / "nothing")
    assert finished.returncode == 1
    assert finished.stderr.startswith("error: No tokenizer at ")
    assert "Traceback" not in finished.stderr
    assert not (tmp_path / "out").exists()
