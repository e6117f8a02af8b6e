"""Finished runs as training leaves them: found, checked, and put together where they are folds or seeds of one."""

import re
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from m4ser.evaluation.metrics import confusion_matrix
from m4ser.evaluation.paper.variants import variant_name
from m4ser.run_folder import (
    LATENCY,
    PREDICTIONS,
    RESULTS,
    ROBUSTNESS,
    find_folders,
    read_json,
    read_predictions,
    read_results,
)

# The folders that train.py makes of one command with several folds or seeds.
MEMBER = re.compile(r"(fold\d+_)?seed\d+")
FOLDS = re.compile(r"fold (\d+) of (\d+)")
PAPER_PROTOCOL = "paper"  # where the test session chooses the epoch


@dataclass(frozen=True)
class Run:
    """One results.json. `scores` are the test split's, in 0..1; `matrix` is its confusion matrix, if it was kept."""

    folder: Path
    results: dict = field(repr=False)

    @classmethod
    def read(cls, folder):
        """Raises ValueError, naming the run, where it is missing, unfinished or malformed."""
        return cls(Path(folder), read_results(folder))

    @property
    def scores(self):
        return self.results["splits"]["test"]

    @property
    def matrix(self):
        return self.scores.get("confusion_matrix")

    @property
    def source(self):
        return (self.folder / RESULTS).as_posix()

    @property
    def corpus(self):
        """The dataset's name: a folder's own, or that of a Hub id."""
        return Path(self.results["config"]["data"]["dataset"]).name

    @property
    def variant(self):
        return variant_name(self.results["config"])

    @property
    def protocol(self):
        """Its name without the fold."""
        return self.results["protocol"].split(",")[0]

    @property
    def fold(self):
        """(fold, of how many), or None where the protocol has none."""
        found = FOLDS.search(self.results["protocol"])
        return found and (int(found[1]), int(found[2]))

    @cached_property
    def latency(self):
        """{"milliseconds", "spread", "hardware"} of a recording, or None where it was not measured."""
        return read_json(self.folder, LATENCY)

    @cached_property
    def robustness(self):
        """The results of `m4ser robustness`, or None where it was not measured."""
        return read_json(self.folder, ROBUSTNESS)

    @cached_property
    def predictions(self):
        """{id: (label, prediction)} of the test split as class indices, or None where the run has no predictions.csv.

        Raises:
            ValueError: a malformed file, or one that is not of the same run as results.json.
        """
        found = read_predictions(self.folder, self.results["labels"])
        if found is None:
            return None
        path = self.folder / PREDICTIONS
        right = sum(label == prediction for label, prediction in found.values())
        if len(found) != self.scores["n"] or abs(right / len(found) - self.scores["weighted_accuracy"]) > 1e-9:
            raise ValueError(f"{path}: not the predictions that {RESULTS} was counted from; evaluate the run again.")
        if self.matrix is not None:
            labels, predicted = zip(*found.values(), strict=True)
            if confusion_matrix(predicted, labels, len(self.results["labels"])).tolist() != self.matrix:
                raise ValueError(f"{path}: its confusion matrix is not {RESULTS}'s; evaluate the run again.")
        return found


@dataclass(frozen=True)
class Group:
    """Runs that differ in nothing but fold and seed.

    Args:
        folder: holds them, or is the only one's own. apart: the end of its path that tells it from others on the
            same corpus that bear the same name.
    """

    folder: Path
    runs: tuple
    apart: str | None = None

    @property
    def first(self):
        return self.runs[0]

    @property
    def name(self):
        name = self.first.results["name"]
        # A member that was given no name bears its folder's, which says nothing.
        name = self.folder.name if MEMBER.fullmatch(name) else name
        return name if self.apart is None else f"{name} ({self.apart})"

    @property
    def corpus(self):
        return self.first.corpus

    @property
    def variant(self):
        return self.first.variant

    @property
    def protocol(self):
        return self.first.protocol

    @property
    def labels(self):
        return self.first.results["labels"]

    @property
    def is_network(self):
        """Whether it was trained in steps, which a baseline is not."""
        return "model" in self.first.results["config"]

    @property
    def missing(self):
        """(fold, seed) of the runs that would complete the folds of each seed."""
        if self.first.fold is None:
            return []
        there = {(run.fold[0], run.results["seed"]) for run in self.runs}
        folds, seeds = range(1, self.first.fold[1] + 1), sorted({run.results["seed"] for run in self.runs})
        return [(fold, seed) for seed in seeds for fold in folds if (fold, seed) not in there]

    def values(self, measure):
        return [float(run.scores[measure]) for run in self.runs]


def representative(groups, variant):
    """Of the groups of a variant the one with the most runs, the first of several; None where there is none."""
    return max(
        (group for group in groups if group.variant == variant), key=lambda group: len(group.runs), default=None
    )


def row_groups(groups, variant):
    """The groups of a variant that weigh the losses as its representative does; a sweep's others are Fig. 7's."""
    chosen = representative(groups, variant)
    same = [group for group in groups if group.variant == variant]
    return [group for group in same if _weights(group) == _weights(chosen)]


def _weights(group):
    return group.first.results.get("config", {}).get("objective")


def find_runs(paths):
    """Every finished run in or below some folders, in groups, in the order given and then of their names.

    Returns:
        A list of [`Group`], and a list of folders below where a training has begun and not finished.

    Raises:
        ValueError: naming a folder that is no run and holds none, or a run that is malformed.
    """
    if not paths:
        raise ValueError("There is no run to report; give at least one folder.")
    groups, unfinished = {}, []
    for path in map(Path, paths):
        folders, begun = find_folders(path)
        if not folders:
            raise ValueError(f"{path}: there is no {RESULTS} in it or below; give the folder of a finished run.")
        unfinished += begun
        for folder in folders:
            together = folder.parent if MEMBER.fullmatch(folder.name) else folder
            groups.setdefault(together, {})[folder] = None
    found = [_group(folder, [Run.read(member) for member in members]) for folder, members in groups.items()]
    return _told_apart(found), unfinished


def _group(folder, runs):
    first = runs[0]
    for run in runs[1:]:
        differing = [what for what in ("corpus", "protocol", "variant") if getattr(run, what) != getattr(first, what)]
        if run.results["labels"] != first.results["labels"]:
            differing.append("labels")
        if differing:
            raise ValueError(
                f"{run.folder} and {first.folder} lie in one folder and differ in {', '.join(differing)}; "
                "keep the folds and seeds of one experiment in a folder of their own."
            )
    order = sorted(runs, key=lambda run: (run.results["seed"], run.fold or (), run.folder.name))
    return Group(folder, tuple(order))


def _told_apart(groups):
    """The groups, with the ends of their paths where several on one corpus bear the same name."""
    namesakes = {}
    for group in groups:
        namesakes.setdefault((group.corpus, group.name), []).append(group)
    found = []
    for group in groups:
        others = [other for other in namesakes[group.corpus, group.name] if other is not group]
        length = 1
        while any(_end(group.folder, length) == _end(other.folder, length) for other in others):
            length += 1
        found.append(replace(group, apart=_end(group.folder, length)) if others else group)
    return found


def _end(folder, length):
    return Path(*folder.parts[-length:]).as_posix()
