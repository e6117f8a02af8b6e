"""Significance of scores: bootstrap intervals of one system, and tests of two on the same recordings."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

RESAMPLES = 2000
BLOCK = 200  # resamples at once, so that a large corpus fits into the memory


def measures(weights: np.ndarray, labels: np.ndarray, predictions: np.ndarray, classes: int) -> np.ndarray:
    """Compute WA, UA and weighted F1 of weighted recordings.

    Args:
        weights: (B, n), how often each recording counts. labels, predictions: (n,), class indices.

    Returns:
        (B, 3), in the order of `m4ser.run_folder.MEASURES`.
    """
    true, chosen = np.eye(classes)[labels], np.eye(classes)[predictions]
    support, predicted, hits = (weights @ indicator for indicator in (true, chosen, true * chosen))
    total = support.sum(1)
    recall = np.divide(hits, support, out=np.full_like(hits, np.nan), where=support > 0)
    f1 = 2 * hits / np.maximum(support + predicted, np.finfo(float).tiny)
    return np.stack([hits.sum(1) / total, np.nanmean(recall, 1), (f1 * support).sum(1) / total], 1)


def bootstrap_intervals(
    labels: ArrayLike,
    predictions: ArrayLike,
    classes: int,
    clusters: ArrayLike | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
    confidence: float = 0.95,
) -> np.ndarray:
    """Compute percentile intervals (Efron) of WA, UA and weighted F1, recordings drawn with replacement.

    Args:
        labels: (n,). predictions: (systems, n), such as one row a seed, whose scores are averaged.
        clusters: (n,), such as the speaker of each recording, which are not independent: whole clusters are drawn.

    Returns:
        (3, 2): low and high of each measure.
    """
    truth, systems = np.asarray(labels), np.atleast_2d(predictions)
    member = _members(clusters, len(truth))
    units = member.max() + 1
    generator, drawn = np.random.default_rng(seed), []
    for start in range(0, resamples, BLOCK):
        count = min(BLOCK, resamples - start)
        weights = generator.multinomial(units, np.full(units, 1 / units), size=count).astype(float)[:, member]
        drawn.append(np.mean([measures(weights, truth, row, classes) for row in systems], axis=0))
    tail = (1 - confidence) / 2
    return np.quantile(np.concatenate(drawn), [tail, 1 - tail], axis=0).T


def mcnemar(labels: ArrayLike, first: ArrayLike, second: ArrayLike) -> float:
    """Compute the exact two-sided p-value of McNemar's test that two systems are right equally often (WA)."""
    try:
        from scipy.stats import binomtest
    except ImportError as error:
        raise ValueError("Comparing runs needs scipy: pip install 'm4ser[report]'.") from error
    truth, one, other = np.asarray(labels), np.asarray(first), np.asarray(second)
    only_first = int(np.sum((one == truth) & (other != truth)))
    only_second = int(np.sum((one != truth) & (other == truth)))
    both = only_first + only_second
    return 1.0 if both == 0 else float(binomtest(only_first, both).pvalue)


def permutation_test(
    labels: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
    classes: int,
    clusters: ArrayLike | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> float:
    """Compute the two-sided p-value that two systems have the same UA, exchanging their predictions at random.

    Args:
        labels: (n,). first, second: (systems, n); those of a recording are exchanged together.
        clusters: (n,), such as the speaker of each recording; those of a cluster are exchanged together.
    """
    truth, one, other = np.asarray(labels), np.atleast_2d(first), np.atleast_2d(second)
    support = np.bincount(truth, minlength=classes)
    weight = 1 / (support[truth] * np.count_nonzero(support))  # what a recording adds to UA when it is right
    gain = (((one == truth).mean(0)) - ((other == truth).mean(0))) * weight
    gain = np.bincount(_members(clusters, len(truth)), gain)
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], size=(resamples, len(gain)))
    # A sum of floats in another order may differ in its last digit, which must not decide.
    as_large = np.abs(signs @ gain) >= abs(gain.sum()) - 1e-12
    return float((as_large.sum() + 1) / (resamples + 1))


def _members(clusters: ArrayLike | None, recordings: int) -> np.ndarray:
    """Return the number of each recording's cluster, (n,); without clusters each recording is one."""
    return np.arange(recordings) if clusters is None else np.unique(clusters, return_inverse=True)[1]


def holm(pvalues: Sequence[float]) -> list[float]:
    """Adjust p-values for their number (Holm's step-down)."""
    order = np.argsort(pvalues)
    scaled = np.asarray(pvalues, float)[order] * (len(pvalues) - np.arange(len(pvalues)))
    adjusted = np.empty(len(pvalues))
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1)
    return adjusted.tolist()
