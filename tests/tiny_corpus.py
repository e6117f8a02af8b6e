"""A corpus of a few noises with real ASR errors in their texts, written as every builder writes one."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from transformers import Wav2Vec2FeatureExtractor

from m4ser import M4SERProcessor
from m4ser.data.builders.builder_cli import encode_flac
from m4ser.data.builders.writing import write_dataset
from m4ser.data.schema import Utterance
from m4ser.data.tokenizer import train_tokenizer

SMALL = str(Path(__file__).with_name("small.yaml"))  # a network for it
LABELS = ("angry", "happy", "neutral", "sad")
# Hypothesis and transcript: nothing wrong, a word wrong, one too many, one missing, all wrong, an empty hypothesis.
TEXTS = (
    ("the night was great", "the night was great"),
    ("the knight was great", "the night was great"),
    ("the uh meal was bad", "the meal was bad"),
    ("meal was bad", "the meal was bad"),
    ("a b", "the night"),
    ("", "the meal"),
)
SIZES = {"train": 11, "validation": 5, "test": 4}


def utterances():
    rng = np.random.default_rng(0)
    for split, size in SIZES.items():
        for index in range(size):
            hypothesis, transcript = TEXTS[index % len(TEXTS)]
            seconds = rng.uniform(0.1, 0.4)
            yield Utterance(
                id=f"{split}-{index}",
                audio=encode_flac(0.1 * rng.standard_normal(int(seconds * 16_000))),
                path=f"{split}-{index}.flac",
                emotion=LABELS[index % 4],
                duration=seconds,
                split=split,
                transcript=transcript,
                hypothesis=hypothesis,
                speaker=f"{split}-{index % 2}",
            )


def write_tiny_corpus(folder):
    write_dataset(utterances(), LABELS, folder, title="Tiny", description="Noises.")
    return folder


def sessions(count):
    """All of them in `train`, in sessions of one speaker each, as IEMOCAP's builder writes them."""
    for index, row in enumerate(utterances()):
        yield replace(row, split="train", session=str(index % count + 1), speaker=f"speaker {index % count}")


def write_sessions(folder, count):
    write_dataset(sessions(count), LABELS, folder, title="Sessions", description="Noises.")
    return folder


def tiny_processor(**fields):
    tokenizer = train_tokenizer([text for pair in TEXTS for text in pair], vocab_size=60, max_length=32)
    return M4SERProcessor(Wav2Vec2FeatureExtractor(return_attention_mask=True), tokenizer, **fields)
