"""Checks of a pipeline's output, and noise for its input."""

import io
import math

import numpy as np
import pytest
import soundfile

EMOTIONS = {"angry", "happy", "neutral", "sad"}


def scores(output):
    return {item["label"]: item["score"] for item in output}


def assert_scores(output):
    assert set(scores(output)) == EMOTIONS
    values = [item["score"] for item in output]
    assert all(map(math.isfinite, values)) and sum(values) == pytest.approx(1, abs=1e-5)
    assert values == sorted(values, reverse=True)


def assert_same(output, expected):
    assert scores(output) == pytest.approx(scores(expected), abs=1e-5)


def noise(samples, seed=0):
    return (0.3 * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)


def wav(samples, rate=16000, **options):
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format="WAV", **options)
    return buffer.getvalue()
