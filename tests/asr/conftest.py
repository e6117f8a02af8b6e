"""A tiny random Whisper, and noises for it to transcribe."""

import numpy as np
import pytest

from m4ser.asr.whisper import Whisper
from tests.tiny_whisper import WINDOW_SECONDS, save_tiny_whisper


@pytest.fixture(scope="session")
def tiny_whisper(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whisper")
    save_tiny_whisper(folder)
    return folder


@pytest.fixture(scope="session")
def whisper(tiny_whisper):
    return Whisper(tiny_whisper)


def noise(seed, seconds):
    samples = 0.3 * np.random.default_rng(seed).standard_normal(int(seconds * 16000))
    return samples.astype(np.float32)


def recordings(count, longest=WINDOW_SECONDS):
    """Noises of random lengths as `transcribe` takes them."""
    lengths = np.random.default_rng(0).uniform(0.01, longest, size=count)
    return [
        {"id": f"clip {index}", "audio": {"array": noise(index, seconds), "sampling_rate": 16000}}
        for index, seconds in enumerate(lengths)
    ]
