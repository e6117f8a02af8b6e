"""What tables are made of: numbers that know their files, and the scores of groups of runs."""

from dataclasses import dataclass, field
from statistics import mean, stdev

import numpy as np

from m4ser.evaluation.significance import bootstrap_intervals
from m4ser.run_folder import MEASURES

WA, UA, F1 = MEASURES
TITLES = {WA: "WA", UA: "UA", F1: "W-F1"}
NOTHING = "-"


@dataclass(frozen=True)
class Cell:
    """A number as it was measured or published, and where it stands.

    Args:
        value, spread, low, high: mean, standard deviation and 95 % interval, in the unit of `form`.
        form: how `value` is printed. source: the files or the table of the paper that it comes from.
    """

    value: float | None
    spread: float | None = None
    low: float | None = None
    high: float | None = None
    form: str = "{:.1f}"
    source: str = ""

    def __str__(self):
        if self.value is None:
            return NOTHING
        text = self.form.format(self.value)
        if self.spread is not None:
            text += " ± " + self.form.format(self.spread)
        if self.low is not None:
            text += f" [{self.form.format(self.low)}, {self.form.format(self.high)}]"
        return text


@dataclass(frozen=True)
class Table:
    """`rows` are lists of str or [`Cell`], one a column; `ours` says by row whether it was measured here."""

    key: str
    title: str
    columns: list
    rows: list
    notes: list = field(default_factory=list)
    ours: list = field(default_factory=list)


def score_cell(group, measure, interval=(None, None)):
    """Mean of a group's runs in per cent, with the standard deviation where there are several."""
    values = [100 * value for value in group.values(measure)]
    spread = stdev(values) if len(values) > 1 else None
    return Cell(mean(values), spread, *interval, source=sources_of(group))


def intervals(group):
    """95 % bootstrap intervals (low, high) of WA, UA and weighted F1 in per cent; None without predictions."""
    found = pooled(group)
    if found is None:
        return [(None, None)] * len(MEASURES)
    return (100 * bootstrap_intervals(*found, len(group.labels))).tolist()


def pooled(group):
    """All folds' test recordings together, by their ids' order: labels (n,) and predictions (seeds, n).

    None where a run has no predictions, or the seeds did not test the same recordings.
    """
    found = _by_seed(group)
    if found is None:
        return None
    ids = sorted(next(iter(found.values())))
    if any(sorted(answers) != ids for answers in found.values()):
        return None
    labels = [next(iter(found.values()))[name][0] for name in ids]
    return np.array(labels), np.array([[answers[name][1] for name in ids] for answers in found.values()])


def _by_seed(group):
    """{seed: {id: (label, prediction)}}, or None where a run has no predictions."""
    found = {}
    for run in group.runs:
        if run.predictions is None:
            return None
        found.setdefault(run.results["seed"], {}).update(run.predictions)
    return found


def aligned(one, other):
    """Labels (n,) and both groups' predictions (seeds, n) where they answered the same recordings."""
    first, second = _by_seed(one), _by_seed(other)
    if first is None or second is None or one.labels != other.labels:
        return None
    seeds = sorted(first.keys() & second.keys())
    if not seeds:
        return None
    ids = sorted(first[seeds[0]])
    if any(sorted(answers[seed]) != ids for answers in (first, second) for seed in seeds):
        return None
    labels = np.array([first[seeds[0]][name][0] for name in ids])
    both = [np.array([[answers[seed][name][1] for name in ids] for seed in seeds]) for answers in (first, second)]
    return labels, *both


def sources_of(group):
    return ", ".join(run.source for run in group.runs)


def runs_text(group):
    folds = {run.fold[0] for run in group.runs if run.fold}
    seeds = {run.results["seed"] for run in group.runs}
    parts = [f"{len(folds)} of {group.first.fold[1]} folds"] if folds else []
    return ", ".join([*parts, f"{len(seeds)} seed{'s' if len(seeds) > 1 else ''}"])
