"""Finished runs as training leaves them: read, checked, and grouped where they are folds or seeds of one."""

import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from m4ser.evaluation.metrics import confusion_matrix
from m4ser.evaluation.report.variants import variant_name
from m4ser.run_folder import (
    LATENCY,
    PREDICTIONS,
    RESULTS,
    ROBUSTNESS,
    find_folders,
    read_measured,
    read_predictions,
    read_results,
    read_tested_results,
)

# The folders that train.py makes of one command with several folds or seeds.
MEMBER = re.compile(r"(fold\d+_)?seed\d+")
FOLDS = re.compile(r"fold (\d+) of (\d+)")
PAPER_PROTOCOL = "paper"  # where the test session chooses the epoch


@dataclass(frozen=True)
class Run:
    """One results.json. `scores` are the test split's, in 0..1; `matrix` is its confusion matrix, if it was kept."""

    folder: Path
    results: dict[str, Any] = field(repr=False)

    @classmethod
    def read(cls, folder: str | Path) -> "Run":
        """Read a run.

        Raises:
            ValueError: naming the run, where it is missing, unfinished or malformed.
        """
        run = cls(Path(folder), read_tested_results(folder))
        try:
            run.variant  # noqa: B018
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"{run.source}: not the arguments of a known network ({error!r}).") from error
        return run

    @property
    def scores(self) -> dict[str, Any]:
        return self.results["splits"]["test"]

    @property
    def matrix(self) -> list[list[int]] | None:
        return self.scores.get("confusion_matrix")

    @property
    def source(self) -> str:
        return (self.folder / RESULTS).as_posix()

    @property
    def corpus(self) -> str:
        """The dataset's name: a folder's own, or that of a Hub id."""
        return Path(self.results["config"]["data"]["dataset"]).name

    @property
    def variant(self) -> str | None:
        return variant_name(self.results["config"])

    @property
    def protocol(self) -> str:
        """Its name without the fold."""
        return self.results["protocol"].split(",")[0]

    @property
    def keeps_last_epoch(self) -> bool:
        return self.results.get("selection_metric") == "last"

    @property
    def fold(self) -> tuple[int, int] | None:
        """(fold, of how many), or None where the protocol has none."""
        found = FOLDS.search(self.results["protocol"])
        return (int(found[1]), int(found[2])) if found else None

    @cached_property
    def latency(self) -> dict[str, Any] | None:
        """{"milliseconds", "spread", "hardware"} of a recording, or None where it was not measured."""
        return read_measured(self.folder, LATENCY)

    @cached_property
    def robustness(self) -> dict[str, Any] | None:
        """The results of `m4ser robustness`, or None where it was not measured.

        Raises:
            ValueError: a malformed file, or one of another version or other weights.
        """
        found = read_measured(self.folder, ROBUSTNESS)
        if found is not None and not {"criteria", "texts"} <= found.keys():
            raise ValueError(f"{self.folder / ROBUSTNESS}: not of this version; run m4ser robustness again.")
        return found

    @cached_property
    def predictions(self) -> dict[str, tuple[int, int]] | None:
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
    runs: tuple[Run, ...]
    apart: str | None = None

    @property
    def first(self) -> Run:
        return self.runs[0]

    @property
    def name(self) -> str:
        name = self.first.results["name"]
        # A member that was given no name bears its folder's, which says nothing.
        name = self.folder.name if MEMBER.fullmatch(name) else name
        return name if self.apart is None else f"{name} ({self.apart})"

    @property
    def corpus(self) -> str:
        return self.first.corpus

    @property
    def variant(self) -> str | None:
        return self.first.variant

    @property
    def protocol(self) -> str:
        return self.first.protocol

    @property
    def labels(self) -> list[str]:
        return self.first.results["labels"]

    @property
    def is_network(self) -> bool:
        """Whether it was trained in steps, which a baseline is not."""
        return "model" in self.first.results["config"]

    @property
    def missing(self) -> list[tuple[int, int]]:
        """(fold, seed) of the runs that would complete the folds of each seed."""
        if self.first.fold is None:
            return []
        there = {(run.fold[0], run.results["seed"]) for run in self.runs if run.fold}
        folds, seeds = range(1, self.first.fold[1] + 1), sorted({run.results["seed"] for run in self.runs})
        return [(fold, seed) for seed in seeds for fold in folds if (fold, seed) not in there]

    def values(self, measure: str) -> list[float]:
        """Return a measure of each run."""
        return [float(run.scores[measure]) for run in self.runs]


def representative(groups: Iterable[Group], variant: str) -> Group | None:
    """Return the group of a variant with the most runs, the first of several; None where there is none."""
    return max(
        (group for group in groups if group.variant == variant), key=lambda group: len(group.runs), default=None
    )


def row_groups(groups: Sequence[Group], variant: str) -> list[Group]:
    """Return the groups of a variant that weigh the losses as its representative does, without a sweep's others."""
    chosen = representative(groups, variant)
    if chosen is None:
        return []
    same = [group for group in groups if group.variant == variant]
    return [group for group in same if _weights(group) == _weights(chosen)]


def _weights(group: Group) -> dict[str, Any] | None:
    return group.first.results.get("config", {}).get("objective")


def find_runs(paths: Sequence[str | Path]) -> tuple[list[Group], list[Path]]:
    """Find every finished run in or below some folders, in groups, in the order given and then of their names.

    Returns:
        A list of [`Group`], and a list of folders below where a training has begun and not finished.

    Raises:
        ValueError: naming a folder that is no run and holds none, or a run that is malformed.
    """
    if not paths:
        raise ValueError("There is no run to report; give at least one folder.")
    groups: dict[Path, dict[Path, None]] = {}
    unfinished: list[Path] = []
    for path in map(Path, paths):
        folders, begun = find_folders(path)
        if not folders:
            raise ValueError(f"{path}: there is no {RESULTS} in it or below; give the folder of a finished run.")
        unfinished += begun
        for folder in folders:
            together = folder.parent if MEMBER.fullmatch(folder.name) else folder
            groups.setdefault(together, {})[folder] = None
    _leave_out_untested(groups)
    found = [_group(folder, [Run.read(member) for member in members]) for folder, members in groups.items()]
    return _distinguish(found), unfinished


def _leave_out_untested(groups: dict[Path, dict[Path, None]]) -> None:
    """Take runs without test figures out, with a warning; where there are no others, the first is refused by name."""
    members = [(folder, member) for folder, members in groups.items() for member in members]
    untested = [(folder, member) for folder, member in members if "test" not in read_results(member)["splits"]]
    if len(untested) == len(members):
        read_tested_results(members[0][1])
    for folder, member in untested:
        warnings.warn(f"{member} tested nothing (its dataset has no test split) and is left out.", stacklevel=3)
        del groups[folder][member]
        if not groups[folder]:
            del groups[folder]


def _group(folder: Path, runs: Sequence[Run]) -> Group:
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


def _distinguish(groups: Sequence[Group]) -> list[Group]:
    """Return the groups, with the ends of their paths where several on one corpus bear the same name."""
    namesakes: dict[tuple[str, str], list[Group]] = {}
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


def _end(folder: Path, length: int) -> str:
    return Path(*folder.parts[-length:]).as_posix()
