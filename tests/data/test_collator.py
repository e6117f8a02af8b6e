"""Rows to batches: what the network reads, and labels that lie on its tokens."""

import numpy as np
import pytest
import torch

from m4ser.data.alignment import align
from m4ser.data.augmentation import Augmentation
from m4ser.data.builders.builder_cli import encode_flac
from m4ser.data.collator import IGNORED, M4SERCollator
from m4ser.data.labels import aligned_labels
from m4ser.model.audio_m4ser import AudioError, load_audio
from tests.tiny_corpus import TEXTS, tiny_processor

KEEP, DELETE, CHANGE = 0, 1, 2


@pytest.fixture(scope="module")
def processor():
    return tiny_processor()


def row(processor, index, hypothesis, transcript, samples=800):
    audio = encode_flac(0.1 * np.random.default_rng(index).standard_normal(samples))
    return {
        "id": f"row-{index}",
        "audio": {"bytes": audio, "path": f"{index}.flac"},
        "hypothesis": hypothesis,
        "transcript": transcript,
        "emotion": index % 4,
        "duration": samples / 16_000,
        **aligned_labels(processor.tokenizer, hypothesis, transcript),
    }


@pytest.fixture
def rows(processor):
    return [row(processor, index, *texts, samples=800 + 10 * index) for index, texts in enumerate(TEXTS)]


def rewritten(batch, index, tokenizer):
    """What the labels of a row make of its tokens: they have to give the transcript back."""
    ids = []
    for position, tag in enumerate(batch["aed_labels"][index].tolist()):
        if tag == KEEP and position > 0:
            ids.append(batch["input_ids"][index, position].item())
        if tag == CHANGE:
            row = (batch["correction_positions"] == torch.tensor([index, position])).all(-1).nonzero().item()
            ids += [token for token in batch["correction_ids"][row].tolist() if token >= 0][:-1]
    return tokenizer.decode(ids)


def test_labels_lie_on_the_tokens(processor, rows):
    batch = M4SERCollator(processor)(rows)
    assert batch["aed_labels"].shape == batch["input_ids"].shape
    for index, (_, transcript) in enumerate(TEXTS):
        assert rewritten(batch, index, processor.tokenizer) == transcript
    # [SEP] and padding have no label, everything before them has one.
    labeled = batch["aed_labels"] != -100
    assert labeled.sum(-1).tolist() == (batch["text_attention_mask"].sum(-1) - 1).tolist()
    assert (batch["aed_labels"][:, 0] != -100).all()


def test_every_change_has_its_replacement(processor, rows):
    batch = M4SERCollator(processor)(rows)
    assert batch["correction_positions"].tolist() == (batch["aed_labels"] == CHANGE).nonzero().tolist()
    assert len(batch["correction_ids"]) == len(batch["correction_positions"]) > 0
    end = processor.tokenizer.sep_token_id
    for ids in batch["correction_ids"].tolist():
        tokens = [token for token in ids if token != -100]
        assert tokens[-1] == end
        assert ids == tokens + [-100] * (len(ids) - len(tokens))


def test_recordings_and_emotions(processor, rows):
    batch = M4SERCollator(processor)(rows)
    assert batch["attention_mask"].sum(-1).tolist() == [800 + 10 * index for index in range(len(rows))]
    assert batch["labels"].tolist() == [index % 4 for index in range(len(rows))]


def test_word_confidences_lie_on_the_tokens(processor, rows):
    rows[1]["word_confidences"] = [0.5, 0.25, 0.75, 0.0]  # the knight was great
    batch = M4SERCollator(processor)(rows)
    assert batch["token_confidences"].shape == batch["input_ids"].shape
    assert (batch["token_confidences"][[0, *range(2, len(rows))]] == 1).all()
    expected, values = [], iter([0.5, 0.25, 0.75, 0.0])
    for token in processor.tokenizer.convert_ids_to_tokens(batch["input_ids"][1]):
        if token.startswith("["):
            expected.append(1.0)
        elif token.startswith("##"):
            expected.append(expected[-1])
        else:
            expected.append(next(values))
    assert batch["token_confidences"][1].tolist() == expected and next(values, None) is None


def test_nothing_to_correct(processor):
    batch = M4SERCollator(processor)([row(processor, 0, "the night", "the night")])
    assert batch["correction_positions"].shape == (0, 2)
    assert batch["correction_ids"].shape == (0, 1)
    assert batch["aed_labels"].tolist() == [[KEEP, KEEP, KEEP, -100]]


def test_row_without_transcript_has_no_error_labels(processor):
    batch = M4SERCollator(processor)([row(processor, 0, "the night", None), row(processor, 1, None, "the night")])
    assert batch["aed_labels"].eq(-100).all()
    assert len(batch["correction_positions"]) == 0
    assert batch["text_attention_mask"].sum(-1).tolist() == [4, 2]


def test_long_text_is_cut_with_its_labels(processor):
    tokenizer = processor.tokenizer
    long = row(processor, 0, "the night " * 60, "the meal " * 60)
    long |= aligned_labels(tokenizer, long["hypothesis"], long["transcript"], max_length=tokenizer.model_max_length)
    batch = M4SERCollator(processor)([long])
    assert batch["input_ids"].shape == batch["aed_labels"].shape == (1, tokenizer.model_max_length)
    assert batch["correction_positions"].max() < tokenizer.model_max_length - 1


def test_augmentation_reaches_training_batches(processor, rows):
    plain = M4SERCollator(processor)(rows)
    augmentation = Augmentation(speed=0.1, mask=0.5)
    collate = M4SERCollator(processor, augmentation=augmentation)
    first = collate(rows)
    assert first["attention_mask"].sum(-1).tolist() != plain["attention_mask"].sum(-1).tolist()
    hidden = first["input_ids"] == processor.tokenizer.mask_token_id
    assert 0 < hidden.sum() < hidden.numel()
    # Nothing else of the text changes, and neither ends nor padding are hidden.
    assert torch.equal(first["input_ids"][~hidden], plain["input_ids"][~hidden])
    special = torch.isin(plain["input_ids"], torch.tensor(processor.tokenizer.all_special_ids))
    assert not (hidden & special).any()
    for name in ("text_attention_mask", "aed_labels", "correction_positions", "correction_ids", "labels"):
        assert torch.equal(first[name], plain[name]), name
    augmentation.set_epoch(1)
    assert not torch.equal(collate(rows)["input_ids"], first["input_ids"])
    augmentation.set_epoch(0)
    again = collate(rows)
    assert all(torch.equal(again[name], first[name]) for name in first.keys() - {"ids", "transcripts"})


def test_text_alone_is_enough_for_a_text_model(processor, rows):
    texts = [{**row, "audio": None} for row in rows]
    batch = M4SERCollator(processor, Augmentation(speed=0.1, seed=1))(texts)
    assert batch["input_values"] is batch["attention_mask"] is None
    plain = M4SERCollator(processor)(rows)
    for name in batch.keys() - {"input_values", "attention_mask", "ids", "transcripts"}:
        assert torch.equal(batch[name], plain[name]), name
    assert batch["ids"] == [row["id"] for row in rows]
    with pytest.raises(AudioError, match="row-1"):
        M4SERCollator(processor)([rows[0], texts[1]])


def test_corpus_holds_every_kind_of_error():
    kinds = {tag for hypothesis, transcript in TEXTS for tag in align(hypothesis.split(), transcript.split()).tags}
    assert kinds == {KEEP, DELETE, CHANGE}


def test_long_recording_is_cut_to_a_window(processor, rows):
    seconds = 0.05
    length = int(seconds * 16_000)
    wholes = [load_audio(row["audio"], target_sampling_rate=16_000, name=row["id"]) for row in rows]
    held_out = M4SERCollator(processor, max_seconds=seconds)._waveforms(rows, 16_000)
    for window, whole in zip(held_out, wholes, strict=True):
        start = (len(whole) - length) // 2
        np.testing.assert_array_equal(window, whole[start : start + length])  # the middle
    augmentation = Augmentation(seed=1)
    collate = M4SERCollator(processor, augmentation, max_seconds=seconds)
    first = collate(rows)
    assert first["attention_mask"].sum(-1).tolist() == [length] * len(rows)
    augmentation.set_epoch(1)
    assert not torch.equal(collate(rows)["input_values"], first["input_values"])  # another part each epoch
    assert (
        M4SERCollator(processor, max_seconds=30)(rows)["input_values"].shape
        == M4SERCollator(processor)(rows)["input_values"].shape
    )


def test_transcripts_have_labels_of_characters(processor, rows):
    vocabulary = ["", " ", *"abehmnstw"]
    batch = M4SERCollator(processor, vocabulary=vocabulary)(rows)
    assert batch["transcripts"] == [row["transcript"] for row in rows]
    for labels, text in zip(batch["recognition_labels"].tolist(), batch["transcripts"], strict=True):
        spoken = "".join(vocabulary[label] for label in labels if label != IGNORED)
        assert spoken == "".join(character for character in text if character in vocabulary)


def test_recording_that_is_cut_has_no_transcript(processor, rows):
    batch = M4SERCollator(processor, max_seconds=0.03, vocabulary=["", "e"])(rows)
    assert batch["transcripts"] == [None] * len(rows) and (batch["recognition_labels"] == IGNORED).all()
