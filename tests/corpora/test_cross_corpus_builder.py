"""Two corpora that share some emotions, put together for training on one and testing on the other."""

from collections import Counter

import datasets
import pytest

from m4ser.corpora.cross_corpus import main
from m4ser.data.builders.builder_cli import encode_flac
from m4ser.data.builders.writing import write_dataset
from m4ser.data.schema import DataError, Utterance
from m4ser.evaluation.protocols import partition

SOURCE, TARGET = ("angry", "happy", "sad"), ("happy", "surprised", "angry")


def write_corpus(folder, labels, count, dialogues=None):
    rows = (
        Utterance(
            id=f"u{i}",
            audio=encode_flac([1e-4 * (i + sum(map(ord, folder.name)))] * 800),
            path=f"u{i}.flac",
            emotion=labels[i % len(labels)],
            duration=0.05,
            split="train" if i % 4 else "test",
            hypothesis=f"text {i}",
            word_confidences=[0.5, 0.25],
            speaker=f"speaker {i % 4}",
            dialogue=dialogues and f"dialogue {i // 6}",
        )
        for i in range(count)
    )
    write_dataset(rows, labels, folder, title="Corpus", description="Made up.")
    return folder


@pytest.fixture
def build(tmp_path, monkeypatch):
    """build(*options): the dataset as it is loaded; source and target are there already."""
    write_corpus(tmp_path / "one", SOURCE, 30)
    write_corpus(tmp_path / "other", TARGET, 60, dialogues=True)

    def run(*options, target="other"):
        out = tmp_path / "out"
        given = ["--source", str(tmp_path / "one"), "--target", str(tmp_path / target), "--output_dir", str(out)]
        monkeypatch.setattr("sys.argv", ["cross_corpus.py", *given, *options])
        main()
        return datasets.load_dataset(str(out))

    return run


def emotions(rows):
    return Counter(rows.features["emotion"].names[emotion] for emotion in rows["emotion"])


def test_target_is_split_by_dialogue(build):
    corpus = build()
    assert emotions(corpus["train"]) == {"angry": 10, "happy": 10}  # sad and surprised are not in both
    assert all(name.startswith("one-") for name in corpus["train"]["id"])
    sizes = {name: len(corpus[name]) for name in ("validation", "test")}
    assert sum(sizes.values()) == 40 and sizes["validation"] == 12  # three of ten dialogues
    assert not set(corpus["validation"]["dialogue"]) & set(corpus["test"]["dialogue"])
    assert partition(corpus, "official").name == "official"


def test_shots_leave_test_split_unchanged(build):
    without, shots = build(), build("--shots", "2")
    assert shots["test"]["id"] == without["test"]["id"]
    drawn = [name for name in shots["train"]["id"] if name.startswith("other-")]
    assert len(drawn) == 4 and set(drawn) <= set(without["validation"]["id"])
    assert emotions(shots["train"]) == {"angry": 12, "happy": 12}
    assert len(shots["validation"]) == 8 and partition(shots, "official").name == "official"
    assert all(row == [0.5, 0.25] for rows in shots.values() for row in rows["word_confidences"])


def test_the_seed_draws_another_split(build):
    assert build()["test"]["id"] == build()["test"]["id"] != build("--seed", "1")["test"]["id"]


def test_without_dialogues_speakers_stay_whole(build, tmp_path):
    write_corpus(tmp_path / "third", TARGET, 60)
    corpus = build(target="third")
    assert not set(corpus["validation"]["speaker"]) & set(corpus["test"]["speaker"])
    assert partition(corpus, "held_out").name == "held_out"


SEVEN = ("neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger")


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (("angry", "happy", "neutral", "sad"), SEVEN),
        (SEVEN, ("angry", "excited", "frustrated", "happy", "neutral", "sad")),
    ],
)
def test_iemocap_and_seven_classes_of_meld_share_four(tmp_path, monkeypatch, source, target):
    folders = [str(write_corpus(tmp_path / name, labels, 42)) for name, labels in (("a", source), ("b", target))]
    out = str(tmp_path / "out")
    monkeypatch.setattr("sys.argv", ["x", "--source", folders[0], "--target", folders[1], "--output_dir", out])
    main()
    corpus = datasets.load_dataset(out)
    assert set(corpus["train"].features["emotion"].names) == {"angry", "happy", "neutral", "sad"}
    tested = emotions(corpus["test"]) + emotions(corpus["validation"])
    assert tested["happy"] == sum(target[i % len(target)] in ("happy", "excited", "joy") for i in range(42))


def test_emotions_of_both_keep_their_names(tmp_path, monkeypatch):
    for name in ("p", "q"):
        write_corpus(tmp_path / name, ("joy", "excited", "happy"), 30)
    out = str(tmp_path / "out")
    given = ["--source", str(tmp_path / "p"), "--target", str(tmp_path / "q"), "--output_dir", out]
    monkeypatch.setattr("sys.argv", ["x", *given])
    main()
    assert datasets.load_dataset(out)["train"].features["emotion"].names == ["joy", "excited", "happy"]


def test_invalid_inputs_are_named(build, tmp_path):
    with pytest.raises(DataError, match="recordings of angry, not 50"):
        build("--shots", "50")
    write_corpus(tmp_path / "strange", ("bored", "proud"), 8)
    with pytest.raises(DataError, match="one and strange share 0 emotions"):
        build(target="strange")
    with pytest.raises(DataError, match="There is no dataset"):
        build(target="gone")
