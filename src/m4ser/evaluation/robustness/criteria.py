"""Criteria of correctness, fairness and robustness, with the published thresholds, and how often chance meets them.

Names and thresholds: the categorical tests of Derington et al. (see audio_perturbations.py), as
github.com/audeering/ser-tests documents them. Theirs for fairness hold for 1,000 recordings of each sex; with fewer,
chance fails them more often, which the share of random classifiers that pass shows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from m4ser.evaluation.metrics import confusion_matrix

CORRECT = 0.5
RELATIVE_DIFFERENCE = 0.15
FAIR = {"precision": 0.075, "recall": 0.175, "UAP": 0.05, "UAR": 0.075}
# By group of changes: the least share of unchanged predictions, and the most UAP and UAR may fall.
THRESHOLDS: dict[str, tuple[float, float | None]] = {
    "small changes": (0.95, None),
    "background noise": (0.9, -0.05),
    "low-quality phone": (0.5, -0.05),
    "room": (0.8, None),
    "spectral tilt": (0.8, -0.02),
}
CHANCES = 200
ROUNDING = 1e-9  # a fall from .525 to .475 is one of .05, though not in binary
# {(group, name): (predictions (n,), predictions (n,) that they are compared with)}
Changed = Mapping[tuple[str, str], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Criterion:
    """One criterion: `value` is at least `threshold`, or at most where `most` is set; None if it is not measurable.

    `chance` is the share of random classifiers that meet it.
    """

    group: str
    name: str
    value: float | None
    threshold: float
    most: bool = False
    chance: float | None = None

    @property
    def passed(self) -> bool | None:
        """Whether it is met; None where it cannot be measured."""
        if self.value is None:
            return None
        spare = self.threshold - self.value if self.most else self.value - self.threshold
        return bool(spare >= -ROUNDING)

    def as_dict(self) -> dict[str, Any]:
        """Return the fields and `passed`, as JSON can hold them."""
        return {**asdict(self), "passed": self.passed}


def all_criteria(
    labels: np.ndarray, base: np.ndarray, changed: Changed, names: Sequence[str], sexes: Sequence[str] | None = None
) -> list[Criterion]:
    """Measure every criterion on predictions.

    Args:
        labels, base: (n,) class indices, base on the recordings as they are.
        changed: predictions on changed recordings, with those that they are compared with. names: of the classes.
        sexes: (n,) strings, or None where the dataset does not know them.
    """
    criteria = correctness(labels, base, names)
    if sexes is not None:
        criteria += fairness(labels, base, names, sexes)
    for (group, name), (predictions, reference) in changed.items():
        criteria += robustness(group, name, labels, reference, predictions, len(names))
    return criteria


def with_chance(
    criteria: Sequence[Criterion],
    labels: np.ndarray,
    changed: Changed,
    names: Sequence[str],
    sexes: Sequence[str] | None = None,
    seed: int = 0,
) -> list[Criterion]:
    """Add the share of classifiers that predict at random, each emotion as often, and meet the criterion."""
    generator, passed = np.random.default_rng(seed), np.zeros(len(criteria))
    for _ in range(CHANCES):
        drawn = {key: tuple(generator.integers(0, len(names), (2, len(labels)))) for key in changed}
        predictions = generator.integers(0, len(names), len(labels))
        passed += [bool(criterion.passed) for criterion in all_criteria(labels, predictions, drawn, names, sexes)]
    return [
        replace(criterion, chance=float(share)) for criterion, share in zip(criteria, passed / CHANCES, strict=True)
    ]


def correctness(labels: np.ndarray, predictions: np.ndarray, names: Sequence[str]) -> list[Criterion]:
    """Measure precision and recall of each class, their means, and how often each class is predicted."""
    precision, recall = precision_recall(labels, predictions, len(names))
    criteria = []
    for name, values in (("precision", precision), ("recall", recall)):
        criteria += [
            Criterion("correctness", f"{name} of {label}", _known(value), CORRECT)
            for label, value in zip(names, values, strict=True)
        ]
    criteria += [
        Criterion("correctness", name, _known(np.nanmean(values)), CORRECT)
        for name, values in (("UAP", precision), ("UAR", recall))
    ]
    shares = [np.bincount(values, minlength=len(names)) / len(labels) for values in (predictions, labels)]
    return criteria + [
        Criterion("correctness", f"share of {label}", float(abs(predicted - true)), RELATIVE_DIFFERENCE, most=True)
        for label, predicted, true in zip(names, *shares, strict=True)
    ]


def fairness(
    labels: np.ndarray, predictions: np.ndarray, names: Sequence[str], sexes: Sequence[str]
) -> list[Criterion]:
    """Measure how far precision and recall of each sex's recordings are from those of all."""
    everyone = _averages(labels, predictions, names)
    criteria = []
    for sex in sorted(set(sexes)):
        members = np.array([value == sex for value in sexes])
        theirs = _averages(labels[members], predictions[members], names)
        for name, value in everyone.items():
            distance = _known(abs(theirs[name] - value))
            criteria.append(Criterion("fairness", f"{name}, {sex}", distance, FAIR[name.split()[0]], most=True))
    return criteria


def robustness(
    group: str, name: str, labels: np.ndarray, reference: np.ndarray, predictions: np.ndarray, classes: int
) -> list[Criterion]:
    """Measure how many predictions stay, and how far UAP and UAR fall, where the group has a threshold for it."""
    unchanged, fall = THRESHOLDS[group]
    criteria = [Criterion(group, f"unchanged, {name}", float(np.mean(predictions == reference)), unchanged)]
    if fall is not None:
        before, after = (precision_recall(labels, values, classes) for values in (reference, predictions))
        criteria += [
            Criterion(group, f"change of {measure}, {name}", _known(np.nanmean(new) - np.nanmean(old)), fall)
            for measure, old, new in zip(("UAP", "UAR"), before, after, strict=True)
        ]
    return criteria


def precision_recall(labels: np.ndarray, predictions: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return both by class, (classes,): precision is 0 of a class never predicted; NaN of one without recordings."""
    matrix = confusion_matrix(predictions, labels, classes)
    hits, support, predicted = np.diag(matrix), matrix.sum(1), matrix.sum(0)
    there = support > 0
    precision = np.where(there, hits / np.maximum(predicted, 1), np.nan)
    return precision, np.where(there, hits / np.maximum(support, 1), np.nan)


def _averages(labels: np.ndarray, predictions: np.ndarray, names: Sequence[str]) -> dict[str, float]:
    precision, recall = precision_recall(labels, predictions, len(names))
    by_class = {f"precision of {label}": value for label, value in zip(names, precision, strict=True)}
    by_class |= {f"recall of {label}": value for label, value in zip(names, recall, strict=True)}
    return {**by_class, "UAP": np.nanmean(precision), "UAR": np.nanmean(recall)}


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
