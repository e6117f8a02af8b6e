"""Every fold and every seed of an experiment, one run each: finished ones are kept, cut ones resume.

Several commands started at once on one output folder, on one machine or on several that share it, share the runs: each
takes the next one that nobody has (`m4ser.claims`), also one whose process has died, until all are finished.
"""

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from itertools import product
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from accelerate import PartialState
from accelerate.utils import broadcast_object_list

from m4ser import run_folder
from m4ser.claims import ABANDONED_SECONDS, Claim, Observer
from m4ser.data.loading import load_dataset
from m4ser.data.schema import DataError
from m4ser.evaluation.protocols import fold_count
from m4ser.processes import connect
from m4ser.run_folder import MEASURES
from m4ser.training.arguments import Arguments
from m4ser.training.loop import train
from m4ser.training.setup import MUTABLE_ON_RESUME

SPLITS = ("validation", "test")
POLL_SECONDS = 1.0


def train_one(arguments: Arguments) -> dict[str, Any]:
    """Train one run, in a folder that no other process trains into.

    Returns:
        As of `train`.

    Raises:
        DataError: as of `train`, or another process trains into the folder.
    """
    claims: list[Claim] = []
    _from_main(connect(), lambda: claims.append(_claim_alone(Path(arguments.training.output_dir))))
    try:
        return train(arguments)
    finally:
        for claim in claims:
            claim.release()


def train_all(arguments: Arguments) -> dict[str, Any]:
    """Train each fold and seed that the arguments name in a folder of its own, `fold1_seed0`, and sum up.

    Returns:
        The content of `output_dir`/summary.json: each run's measures, and over all runs their mean and standard
        deviation (of a sample: over n - 1; 0 for one run).

    Raises:
        DataError: as of `train`, or a finished run in the folder that had other arguments.
    """
    [(_, summary)] = train_groups({Path(arguments.training.output_dir).name: arguments})
    return summary


def train_groups(groups: Mapping[str, Arguments]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Train the runs of several experiments that no other process has; yield the name and summary of each experiment.

    An experiment is summed up once all its runs are finished, whoever trained them.

    Raises:
        DataError: as of `train_all`.
    """
    state = connect()
    with state.main_process_first():
        remaining = {name: list(runs(arguments)) for name, arguments in groups.items()}
    work = SharedWork(groups, remaining)
    while remaining:
        name, index, summary = _from_main(state, work.next)
        if summary is not None:
            del remaining[name]
            yield name, summary
        elif index is not None:
            try:
                train(remaining[name][index])
            finally:
                work.release()
        else:
            time.sleep(POLL_SECONDS)


class SharedWork:
    """The runs that are left, as the main process of this command sees them.

    Args:
        groups: the experiments by name. remaining: the runs of those that are not summed up yet; the caller removes
            them.
    """

    def __init__(self, groups: Mapping[str, Arguments], remaining: Mapping[str, Sequence[Arguments]]):
        self._groups = groups
        self._remaining = remaining
        self._observer = Observer()
        self._results: dict[str, dict[str, Any]] = {}
        self._claim: Claim | None = None
        self._is_waiting = False

    def next(self) -> tuple[str, int | None, dict[str, Any] | None]:
        """Return an experiment and its summary, or an experiment and which run to train; else there is time to wait.

        Raises:
            DataError: a run is finished, but had other arguments.
        """
        for name, group in self._remaining.items():
            # Every run, so that one that had other arguments is found before anything is trained.
            if all([self._is_finished(run) for run in group]):
                results = {run.training.output_dir: self._results[run.training.output_dir] for run in group}
                return name, None, sum_up(self._groups[name], results)
        for name, group in self._remaining.items():
            for index, run in enumerate(group):
                if not self._is_finished(run) and self._take(run):
                    return name, index, None
        self._say_waiting()
        return "", None, None

    def release(self) -> None:
        """Give back the run that was to be trained."""
        if self._claim is not None:
            self._claim.release()
            self._claim = None

    def _is_finished(self, run: Arguments) -> bool:
        folder = run.training.output_dir
        if folder not in self._results and (results := _finished(run)) is not None:
            self._results[folder] = results
        return folder in self._results

    def _take(self, run: Arguments) -> bool:
        self._claim = self._observer.claim(Path(run.training.output_dir))
        if self._claim is not None and self._is_finished(run):  # while it was claimed
            self.release()
        return self._claim is not None

    def _say_waiting(self) -> None:
        if not self._is_waiting:
            folders = [run.training.output_dir for group in self._remaining.values() for run in group]
            others = ", ".join(folder for folder in folders if folder not in self._results)
            print(f"Waiting for the runs that other processes have: {others}", file=sys.stderr)
        self._is_waiting = True


def sum_up(arguments: Arguments, results: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Write summary.json of an experiment's results by folder; return its content."""
    summary = {
        "runs": {Path(folder).name: _measures(result) for folder, result in results.items()},
        "splits": {
            split: {name: _mean_and_deviation(results.values(), split, name) for name in MEASURES}
            for split in SPLITS
            if all(split in result["splits"] for result in results.values())
        },
        "config": arguments.as_dict(),
    }
    run_folder.write_json(arguments.training.output_dir, run_folder.SUMMARY, summary)
    return summary


def runs(arguments: Arguments) -> Iterator[Arguments]:
    """Yield the arguments of each single run.

    Raises:
        DataError: there are no folds, or the finished ones are to be overwritten.
    """
    data, training = arguments.data, arguments.training
    if training.overwrite:
        raise DataError("--overwrite is for a single run; remove the folders of those that are to be trained anew.")
    folds: Iterable[Any] = [data.fold]
    if data.fold == "all":
        folds = range(1, fold_count(load_dataset(data.dataset), data.protocol) + 1)
    for fold, seed in product(folds, training.seeds or [training.seed]):
        name = f"seed{seed}" if fold is None else f"fold{fold}_seed{seed}"
        yield replace(
            arguments,
            data=replace(data, fold=fold),
            training=replace(
                training, output_dir=str(Path(training.output_dir) / name), seed=seed, seeds=None, resume=True
            ),
        )


def _from_main(state: PartialState, make: Callable[[], Any]) -> Any:
    """Return in every process what `make` gives in the main one, or raise its ValueError in each."""
    made: list[Any] = [None]
    if state.is_main_process:
        try:
            made = [make()]
        except ValueError as error:
            made = [error]
    broadcast_object_list(made)
    if isinstance(made[0], ValueError):
        raise made[0]
    return made[0]


def _claim_alone(folder: Path) -> Claim:
    """Claim a folder, once it is certain that no process that is alive has it.

    Raises:
        DataError: one has.
    """
    observer, start = Observer(), time.monotonic()
    while (claim := observer.claim(folder)) is None:
        time.sleep(POLL_SECONDS)
        if observer.has_counted(folder) or time.monotonic() - start > 2 * ABANDONED_SECONDS:
            raise DataError(f"Another process is training into {folder}; give another --output_dir, or end it first.")
    return claim


def _finished(arguments: Arguments) -> dict[str, Any] | None:
    """Return the results of a run that has ended; None where it has not."""
    folder = Path(arguments.training.output_dir)
    if not run_folder.is_finished(folder):
        return None
    results, config = run_folder.read_results(folder), json.loads(json.dumps(arguments.as_dict()))
    for group, values in config.items():
        defaults = {item.name: item.default for item in fields(getattr(arguments, group))}
        for name, value in values.items():
            # A run that was finished before there was an argument had its default.
            other = results["config"][group].get(name, defaults[name])
            # A dataset may have moved, but not become another one.
            same = Path(other).name == Path(value).name if name == "dataset" else other == value
            if name not in MUTABLE_ON_RESUME - {"batch_size", "epochs", "dataset"} and not same:
                raise DataError(
                    f"{folder} is finished, but its {name} was {other!r} and is {value!r} now; give another "
                    "--output_dir."
                )
    return results


def _measures(results: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    return {
        split: {name: results["splits"][split][name] for name in MEASURES}
        for split in SPLITS
        if split in results["splits"]
    }


def _mean_and_deviation(results: Iterable[Mapping[str, Any]], split: str, name: str) -> dict[str, float]:
    values = [result["splits"][split][name] for result in results]
    return {"mean": mean(values), "standard_deviation": stdev(values) if len(values) > 1 else 0.0}
