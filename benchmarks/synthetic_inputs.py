"""Random weights and noise recordings, for benchmarks of speed that depend only on sizes."""

import numpy as np
import torch
from transformers import Wav2Vec2FeatureExtractor

from benchmarks.timing import SEED
from m4ser import M4SERConfig, M4SERModel, M4SERProcessor
from m4ser.data.schema import SAMPLING_RATE
from m4ser.data.tokenizer import train_tokenizer

# Median and sigma of lognormal distributions. IEMOCAP's has a mean of 4.5 s and a 99th percentile of 15.5 s.
LENGTHS = {"IEMOCAP": (3.73, 0.612), "MELD": (2.5, 0.66)}
SHORTEST, LONGEST = 0.5, 30.0  # seconds


def random_model(preset, texts):
    """Return M4SER with random weights, and its processor with a tokenizer trained on `texts`."""
    torch.manual_seed(SEED)
    return M4SERModel(M4SERConfig.preset(preset)).eval(), make_processor(texts)


def make_processor(texts, vocab_size=64):
    """Return a processor with a tokenizer trained on `texts`."""
    tokenizer = train_tokenizer(texts, vocab_size=vocab_size, max_length=128)
    return M4SERProcessor(Wav2Vec2FeatureExtractor(return_attention_mask=True), tokenizer)


def random_lengths(corpus, count):
    """Return `count` recording lengths in seconds, (count,), distributed as in a corpus of `LENGTHS`."""
    median, sigma = LENGTHS[corpus]
    return np.random.default_rng(SEED).lognormal(np.log(median), sigma, count).clip(SHORTEST, LONGEST)


def noise(seconds, generator=None):
    """Return noise at 16 kHz, (samples,), float32: always the same, unless a numpy generator is given."""
    generator = generator or np.random.default_rng(SEED)
    return generator.standard_normal(round(seconds * SAMPLING_RATE), dtype=np.float32) / 10
