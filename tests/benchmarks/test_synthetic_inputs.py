"""Synthetic recordings and models: lengths, determinism, and that they fit together."""

import numpy as np
import pytest

from benchmarks.synthetic_inputs import noise, random_lengths, random_model


def test_lengths_are_those_of_iemocap():
    many = random_lengths("IEMOCAP", 200_000)
    assert many.mean() == pytest.approx(4.5, abs=0.05) and np.percentile(many, 99) == pytest.approx(15.5, abs=0.3)
    assert random_lengths("IEMOCAP", 5).tolist() == many[:5].tolist()


def test_noise_varies_only_with_a_generator():
    generator = np.random.default_rng(0)
    first, second = noise(0.5, generator), noise(0.5, generator)
    assert len(first) == 8_000 and first.dtype == np.float32 and not np.array_equal(first, second)
    assert np.array_equal(noise(0.5), first)


def test_model_takes_its_processors_output():
    model, processor = random_model("tiny", ["and so my fellow americans"])
    inputs = processor([noise(1)], ["my fellow"], sampling_rate=16_000)
    assert model(**inputs).logits.shape == (1, 4)
