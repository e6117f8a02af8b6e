"""Word errors at a given rate, and texts of other recordings."""

import numpy as np
import pytest

from m4ser.evaluation.metrics import word_error_rate
from m4ser.evaluation.robustness.text_perturbations import inject_word_errors, shuffle_texts

WORDS = [f"w{number}" for number in range(200)]
TEXTS = [" ".join(np.random.default_rng(seed).choice(WORDS, 9)) for seed in range(300)]


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.35, 0.5, 1.0])
def test_word_error_rate_is_as_requested(rate):
    generator = np.random.default_rng(0)
    changed = [inject_word_errors(text, rate, WORDS, generator) for text in TEXTS]
    # An insertion after a word and a deletion of the next one are one substitution, which is one error less.
    assert word_error_rate(changed, TEXTS) == pytest.approx(rate, abs=0.01 + 0.1 * rate)
    if rate == 0:
        assert changed == TEXTS


def test_one_word_and_none():
    generator = np.random.default_rng(0)
    assert inject_word_errors("", 1.0, WORDS, generator) == ""
    outcomes = {inject_word_errors("w0", 1.0, ["w0", "w1"], generator) for _ in range(60)}
    assert outcomes == {"w1", "", "w0 w1"}


def test_shuffled_text_is_of_another_emotion():
    texts, labels = ["a", "b", "c", "d"], [0, 0, 1, 1]
    given = shuffle_texts(texts, labels, np.random.default_rng(0))
    assert all(labels[texts.index(text)] != label for text, label in zip(given, labels, strict=True))


def test_shuffle_with_one_emotion_or_recording():
    assert shuffle_texts(["a", "b"], [0, 0], np.random.default_rng(0)) == ["b", "a"]
    assert shuffle_texts(["a"], [0], np.random.default_rng(0)) == ["a"]
