"""What stands in for trained weights and real recordings where a benchmark of speed needs only their sizes."""

import numpy as np
import torch
from transformers import Wav2Vec2FeatureExtractor

from benchmarks.timing import SEED
from m4ser import M4SERConfig, M4SERModel, M4SERProcessor
from m4ser.data.schema import SAMPLING_RATE
from m4ser.data.tokenizer import train_tokenizer

# Of lognormal distributions: median and spread. IEMOCAP's has its mean of 4.5 s and its 99th percentile of 15.5 s.
LENGTHS = {"IEMOCAP": (3.73, 0.612), "MELD": (2.5, 0.66)}
SHORTEST, LONGEST = 0.5, 30.0  # seconds


def random_model(preset, texts):
    """M4SER with random weights, and its processor with a tokenizer of these texts."""
    torch.manual_seed(SEED)
    tokenizer = train_tokenizer(texts, vocab_size=64, max_length=128)
    processor = M4SERProcessor(Wav2Vec2FeatureExtractor(return_attention_mask=True), tokenizer)
    return M4SERModel(M4SERConfig.preset(preset)).eval(), processor


def random_lengths(corpus, count):
    """Seconds of so many recordings, (count,), distributed as those of a corpus of `LENGTHS` are."""
    median, spread = LENGTHS[corpus]
    return np.random.default_rng(SEED).lognormal(np.log(median), spread, count).clip(SHORTEST, LONGEST)


def noise(seconds, draw=None):
    """A recording at 16 kHz, (samples,), float32; the same each time, unless a numpy generator draws it."""
    draw = draw or np.random.default_rng(SEED)
    return draw.standard_normal(round(seconds * SAMPLING_RATE), dtype=np.float32) / 10
