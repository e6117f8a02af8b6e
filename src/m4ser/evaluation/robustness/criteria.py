"""Which demands a classifier meets, with the published thresholds, and how often chance alone would meet them.

Names and thresholds: the categorical tests of Derington et al. (see audio_perturbations.py), as github.com/audeering/ser-tests
documents them. Theirs for fairness hold for 1,000 recordings of each sex; with fewer, chance fails them more often,
which the share of random classifiers that pass shows.
"""

from dataclasses import asdict, dataclass

import numpy as np

from m4ser.evaluation.metrics import confusion_matrix

CORRECT = 0.5
RELATIVE_DIFFERENCE = 0.15
FAIR = {"precision": 0.075, "recall": 0.175, "UAP": 0.05, "UAR": 0.075}
# By group of changes: the least share of unchanged predictions, and the most UAP and UAR may fall.
THRESHOLDS = {
    "small changes": (0.95, None),
    "background noise": (0.9, -0.05),
    "low-quality phone": (0.5, -0.05),
    "room": (0.8, None),
    "spectral tilt": (0.8, -0.02),
}
CHANCES = 200
ROUNDING = 1e-9  # a fall from .525 to .475 is one of .05, though not in binary


@dataclass(frozen=True)
class Check:
    """One demand: `value` is at least `threshold`, or at most where `most` is set; None if it cannot be measured."""

    group: str
    name: str
    value: float | None
    threshold: float
    most: bool = False
    chance: float | None = None

    @property
    def passed(self):
        if self.value is None:
            return None
        spare = self.threshold - self.value if self.most else self.value - self.threshold
        return bool(spare >= -ROUNDING)

    def as_dict(self):
        return {**asdict(self), "passed": self.passed}


def all_checks(labels, base, changed, names, sexes=None):
    """Every demand on predictions.

    Args:
        labels, base: (n,) class indices, base on the recordings as they are.
        changed: {(group, name): (predictions, predictions they are compared with)}. names: of the classes.
        sexes: (n,) strings, or None where the dataset does not know them.
    """
    checks = [*correctness(labels, base, names), *(fairness(labels, base, names, sexes) if sexes is not None else ())]
    for (group, name), (predictions, reference) in changed.items():
        checks += robustness(group, name, labels, reference, predictions, len(names))
    return checks


def with_chance(checks, labels, changed, names, sexes=None, seed=0):
    """The checks with the share of classifiers that answer at random, each emotion as often, and pass them."""
    generator, passed = np.random.default_rng(seed), np.zeros(len(checks))
    for _ in range(CHANCES):
        drawn = {key: tuple(generator.integers(0, len(names), (2, len(labels)))) for key in changed}
        answers = generator.integers(0, len(names), len(labels))
        passed += [bool(check.passed) for check in all_checks(labels, answers, drawn, names, sexes)]
    shares = passed / CHANCES
    return [Check(**{**asdict(check), "chance": float(share)}) for check, share in zip(checks, shares, strict=True)]


def correctness(labels, predictions, names):
    """Precision and recall of each class, their means, and how often each class is answered."""
    precision, recall = precision_recall(labels, predictions, len(names))
    checks = []
    for name, values in (("precision", precision), ("recall", recall)):
        checks += [
            Check("correctness", f"{name} of {label}", _known(value), CORRECT)
            for label, value in zip(names, values, strict=True)
        ]
    checks += [
        Check("correctness", name, _known(np.nanmean(values)), CORRECT)
        for name, values in (("UAP", precision), ("UAR", recall))
    ]
    shares = [np.bincount(values, minlength=len(names)) / len(labels) for values in (predictions, labels)]
    return checks + [
        Check("correctness", f"share of {label}", float(abs(told - true)), RELATIVE_DIFFERENCE, most=True)
        for label, told, true in zip(names, *shares, strict=True)
    ]


def fairness(labels, predictions, names, sexes):
    """How far precision and recall of each sex's recordings are from those of all."""
    everyone = _averages(labels, predictions, names)
    checks = []
    for sex in sorted(set(sexes)):
        members = np.array([value == sex for value in sexes])
        theirs = _averages(labels[members], predictions[members], names)
        checks += [
            Check(
                "fairness", f"{name}, {sex}", _known(abs(theirs[name] - everyone[name])), FAIR[name.split()[0]], True
            )
            for name in everyone
        ]
    return checks


def robustness(group, name, labels, reference, predictions, classes):
    """How many predictions stay, and how far UAP and UAR fall, where the group asks for it."""
    unchanged, fall = THRESHOLDS[group]
    checks = [Check(group, f"unchanged, {name}", float(np.mean(predictions == reference)), unchanged)]
    if fall is not None:
        before, after = (precision_recall(labels, answers, classes) for answers in (reference, predictions))
        checks += [
            Check(group, f"change of {measure}, {name}", _known(np.nanmean(new) - np.nanmean(old)), fall)
            for measure, old, new in zip(("UAP", "UAR"), before, after, strict=True)
        ]
    return checks


def precision_recall(labels, predictions, classes):
    """By class, (classes,) each: precision is 0 of a class that is there and never answered; NaN of one not there."""
    matrix = confusion_matrix(predictions, labels, classes)
    hits, support, answered = np.diag(matrix), matrix.sum(1), matrix.sum(0)
    there = support > 0
    precision = np.where(there, hits / np.maximum(answered, 1), np.nan)
    return precision, np.where(there, hits / np.maximum(support, 1), np.nan)


def _averages(labels, predictions, names):
    precision, recall = precision_recall(labels, predictions, len(names))
    by_class = {f"precision of {label}": value for label, value in zip(names, precision, strict=True)}
    by_class |= {f"recall of {label}": value for label, value in zip(names, recall, strict=True)}
    return {**by_class, "UAP": np.nanmean(precision), "UAR": np.nanmean(recall)}


def _known(value):
    return None if np.isnan(value) else float(value)
