"""Intervals and tests against worked values, exhaustive enumeration and scikit-learn."""

from itertools import product

import numpy as np
import pytest
from scipy.stats import bootstrap
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from m4ser.evaluation.significance import bootstrap_intervals, holm, mcnemar, measures, permutation_test

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 4, 60)
PREDICTIONS = np.where(RNG.random(60) < 0.5, LABELS, RNG.integers(0, 4, 60))


def test_weighted_measures_equal_scikit_learn():
    weights = np.random.default_rng(1).integers(0, 4, (5, 60)).astype(float)
    for row, found in zip(weights.astype(int), measures(weights, LABELS, PREDICTIONS, 4), strict=True):
        true, predicted = np.repeat(LABELS, row), np.repeat(PREDICTIONS, row)
        expected = [
            accuracy_score(true, predicted),
            balanced_accuracy_score(true, predicted),
            f1_score(true, predicted, average="weighted"),
        ]
        np.testing.assert_allclose(found, expected)


def test_a_class_that_a_resample_lacks_does_not_count_as_missed():
    weights = np.array([[1.0, 1.0, 0.0]])
    np.testing.assert_allclose(measures(weights, np.array([0, 0, 1]), np.array([0, 0, 0]), 2), [[1, 1, 1]])


def test_the_interval_of_an_accuracy_is_scipys():
    right = (LABELS == PREDICTIONS).astype(float)
    expected = bootstrap((right,), np.mean, n_resamples=4000, method="percentile", random_state=1)
    found = bootstrap_intervals(LABELS, PREDICTIONS, 4, resamples=4000)
    np.testing.assert_allclose(found[0], expected.confidence_interval, atol=0.02)
    assert found.shape == (3, 2) and np.all(found[:, 0] < found[:, 1])
    np.testing.assert_array_equal(found, bootstrap_intervals(LABELS, PREDICTIONS, 4, resamples=4000))


def test_seeds_are_averaged_within_a_resample():
    one = bootstrap_intervals(LABELS, PREDICTIONS, 4)
    np.testing.assert_allclose(bootstrap_intervals(LABELS, [PREDICTIONS, PREDICTIONS], 4), one)
    spread = bootstrap_intervals(LABELS, [PREDICTIONS, RNG.permutation(PREDICTIONS)], 4)
    assert np.ptp(spread[0]) < np.ptp(one[0])


def test_cluster_counts_as_its_recordings_would_if_they_were_one():
    speakers = np.repeat([f"speaker{number:02d}" for number in range(60)], 3)
    labels, one = np.repeat(LABELS, 3), np.repeat(PREDICTIONS, 3)
    expected = bootstrap_intervals(LABELS, PREDICTIONS, 4)
    np.testing.assert_allclose(bootstrap_intervals(labels, one, 4, speakers), expected)
    assert np.ptp(bootstrap_intervals(labels, one, 4)[0]) < np.ptp(expected[0])

    other = RNG.permutation(PREDICTIONS)
    expected = permutation_test(LABELS, PREDICTIONS, other, 4)
    assert permutation_test(labels, one, np.repeat(other, 3), 4, speakers) == expected
    assert permutation_test(labels, one, np.repeat(other, 3), 4) < expected


def test_permutations_of_speakers_by_hand():
    """Three speakers of unequal length, all better with the first: only all exchanged is as far off, 2 of 8."""
    labels = np.array([0, 1, 0, 1, 0, 1, 1, 0])
    speakers = ["a", "a", "b", "b", "b", "b", "c", "c"]
    first, second = labels, 1 - labels
    assert permutation_test(labels, first, second, 2, speakers, resamples=20_000) == pytest.approx(2 / 8, abs=0.01)


def test_mcnemar_by_hand():
    # Of six recordings where one of them alone is right, the second has five: 2 (1 + 6) / 2^6.
    labels = np.zeros(8, int)
    first, second = np.array([0, 1, 1, 1, 1, 1, 0, 1]), np.array([1, 0, 0, 0, 0, 0, 0, 1])
    assert mcnemar(labels, first, second) == pytest.approx(14 / 64)
    assert mcnemar(labels, first, first) == 1


def test_the_permutation_test_approaches_all_permutations():
    labels = np.array([0, 0, 0, 0, 0, 1, 1, 1, 2, 2])
    first, second = labels.copy(), np.array([0, 1, 1, 0, 1, 1, 2, 1, 0, 2])

    def difference(shuffle_texts):
        one, other = np.where(shuffle_texts, second, first), np.where(shuffle_texts, first, second)
        return balanced_accuracy_score(labels, one) - balanced_accuracy_score(labels, other)

    observed = abs(difference([False] * 10))
    every = [abs(difference(shuffle_texts)) >= observed - 1e-12 for shuffle_texts in product([False, True], repeat=10)]
    assert permutation_test(labels, first, second, 3, resamples=20_000) == pytest.approx(np.mean(every), abs=0.01)
    assert permutation_test(labels, first, first, 3) == 1


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1, 1]
