"""Tables, numbers that know the files they come from, and the scores of groups of runs."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import mean, stdev

import numpy as np

from m4ser.evaluation.report.runs import Group
from m4ser.evaluation.report.speakers import Speakers, clusters
from m4ser.evaluation.significance import bootstrap_intervals
from m4ser.run_folder import MEASURES

WA, UA, F1 = MEASURES
TITLES = {WA: "WA", UA: "UA", F1: "W-F1"}
NOTHING = "-"


@dataclass(frozen=True)
class Entry:
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

    def __str__(self) -> str:
        if self.value is None:
            return NOTHING
        text = self.form.format(self.value)
        if self.spread is not None:
            text += " ± " + self.form.format(self.spread)
        if self.low is not None:
            text += f" [{self.form.format(self.low)}, {self.form.format(self.high)}]"
        return text


@dataclass(frozen=True)
class PValue(Entry):
    """A probability, which three decimals would round to zero."""

    form: str = "{:.3f}"

    def __str__(self) -> str:
        return "< .001" if self.value is not None and self.value < 0.001 else super().__str__()


@dataclass(frozen=True)
class Table:
    """`rows` are lists of str or [`Entry`], one a column; `ours` says by row whether it was measured here."""

    key: str
    title: str
    columns: list[str]
    rows: list[list["str | Entry"]]
    notes: list[str] = field(default_factory=list)
    ours: list[bool] = field(default_factory=list)

    @property
    def is_published_only(self) -> bool:
        """Whether there are rows, and none of them was measured here."""
        return bool(self.rows) and not any(self.ours)


def score_entry(group: Group, measure: str, interval: Sequence[float | None] = (None, None)) -> Entry:
    """Return the mean of a group's runs in per cent, with the standard deviation where there are several."""
    values = [100 * value for value in group.values(measure)]
    spread = stdev(values) if len(values) > 1 else None
    low, high = interval
    return Entry(mean(values), spread, low, high, source=sources_of(group))


def intervals(group: Group, speakers: Speakers | None = None) -> list[Sequence[float | None]]:
    """Return 95 % bootstrap intervals (low, high) of WA, UA and weighted F1 in per cent; None without predictions.

    Recordings are drawn, or whole speakers where they are known.
    """
    found = pooled(group)
    if found is None:
        return [(None, None)] * len(MEASURES)
    ids, labels, predictions = found
    return (100 * bootstrap_intervals(labels, predictions, len(group.labels), clusters(ids, speakers))).tolist()


def pooled(group: Group) -> tuple[list[str], np.ndarray, np.ndarray] | None:
    """Pool the test recordings of all folds: their ids, sorted, labels (n,) and predictions (seeds, n).

    None where a run has no predictions, or the seeds did not test the same recordings.
    """
    found = _by_seed(group)
    if found is None:
        return None
    ids = sorted(next(iter(found.values())))
    if any(sorted(predictions) != ids for predictions in found.values()):
        return None
    labels = [next(iter(found.values()))[name][0] for name in ids]
    return ids, np.array(labels), np.array([[predictions[name][1] for name in ids] for predictions in found.values()])


def _by_seed(group: Group) -> dict[int, dict[str, tuple[int, int]]] | None:
    """Return {seed: {id: (label, prediction)}}, or None where a run has no predictions."""
    found: dict[int, dict[str, tuple[int, int]]] = {}
    for run in group.runs:
        if run.predictions is None:
            return None
        found.setdefault(run.results["seed"], {}).update(run.predictions)
    return found


def aligned(one: Group, other: Group) -> tuple[list[str], np.ndarray, np.ndarray, np.ndarray] | None:
    """Return ids, labels (n,) and both groups' predictions (seeds, n) where they tested the same recordings."""
    first, second = _by_seed(one), _by_seed(other)
    if first is None or second is None or one.labels != other.labels:
        return None
    seeds = sorted(first.keys() & second.keys())
    if not seeds:
        return None
    ids = sorted(first[seeds[0]])
    if any(sorted(predictions[seed]) != ids for predictions in (first, second) for seed in seeds):
        return None
    labels = np.array([first[seeds[0]][name][0] for name in ids])
    one_side, other_side = (
        np.array([[predictions[seed][name][1] for name in ids] for seed in seeds]) for predictions in (first, second)
    )
    return ids, labels, one_side, other_side


def folds_won(one: Group, other: Group) -> str:
    """Say in how many of the folds that both were tested on the first has the higher UA, by the mean of the seeds."""
    first, second = _scores_by_fold(one), _scores_by_fold(other)
    gains: dict[tuple[int, int], float] = {}
    for fold, seed in first.keys() & second.keys():
        gains[fold] = gains.get(fold, 0.0) + first[fold, seed] - second[fold, seed]
    won = sum(gain > 1e-12 for gain in gains.values())  # sums of equal scores may differ in their last digit
    return f"{won} of {len(gains)}" if gains else NOTHING


def _scores_by_fold(group: Group) -> dict[tuple[tuple[int, int], int], float]:
    """Return the UA of each fold, (its number, of how many), and seed."""
    return {(run.fold, run.results["seed"]): run.scores[UA] for run in group.runs if run.fold}


def sources_of(group: Group) -> str:
    """Name the results.json of every run."""
    return ", ".join(run.source for run in group.runs)


def runs_text(group: Group) -> str:
    """Say how many folds and seeds a group has."""
    folds = {run.fold[0] for run in group.runs if run.fold}
    seeds = {run.results["seed"] for run in group.runs}
    parts = [f"{len(folds)} of {group.first.fold[1]} folds"] if group.first.fold else []
    return ", ".join([*parts, f"{len(seeds)} seed{'s' if len(seeds) > 1 else ''}"])
