"""Every fold and every seed of an experiment, one run each: finished ones are kept, cut ones resume."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from m4ser import run_folder
from m4ser.data.loading import load_dataset
from m4ser.data.schema import DataError
from m4ser.evaluation.protocols import fold_count
from m4ser.run_folder import MEASURES
from m4ser.training.arguments import Arguments
from m4ser.training.loop import train
from m4ser.training.setup import MUTABLE_ON_RESUME

SPLITS = ("validation", "test")


def train_all(arguments: Arguments) -> dict[str, Any]:
    """Train each fold and seed that the arguments name in a folder of its own, `fold1_seed0`, and sum up.

    Returns:
        The content of `output_dir`/summary.json: each run's measures, and over all runs their mean and standard
        deviation (of a sample: over n - 1; 0 for one run).

    Raises:
        DataError: as of `train`, or a finished run in the folder that had other arguments.
    """
    output_dir = Path(arguments.training.output_dir)
    results = {run.training.output_dir: _finished(run) or train(run) for run in runs(arguments)}
    summary = {
        "runs": {Path(folder).name: _measures(result) for folder, result in results.items()},
        "splits": {
            split: {name: _mean_and_deviation(results.values(), split, name) for name in MEASURES} for split in SPLITS
        },
        "config": arguments.as_dict(),
    }
    run_folder.write_json(output_dir, run_folder.SUMMARY, summary)
    return summary


def runs(arguments: Arguments) -> Iterator[Arguments]:
    """Yield the arguments of each single run."""
    data, training = arguments.data, arguments.training
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


def _finished(arguments: Arguments) -> dict[str, Any] | None:
    """Return the results of a run that has ended; None where it has not."""
    folder = Path(arguments.training.output_dir)
    if not run_folder.is_finished(folder):
        return None
    results, config = run_folder.read_results(folder), json.loads(json.dumps(arguments.as_dict()))
    for group, values in config.items():
        for name, value in values.items():
            other = results["config"][group].get(name)
            # A dataset may have moved, but not become another one.
            same = Path(other).name == Path(value).name if name == "dataset" else other == value
            if name not in MUTABLE_ON_RESUME - {"batch_size", "epochs", "dataset"} and not same:
                raise DataError(
                    f"{folder} is finished, but its {name} was {other!r} and is {value!r} now; give another "
                    "--output_dir."
                )
    return results


def _measures(results: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    return {split: {name: results["splits"][split][name] for name in MEASURES} for split in SPLITS}


def _mean_and_deviation(results: Iterable[Mapping[str, Any]], split: str, name: str) -> dict[str, float]:
    values = [result["splits"][split][name] for result in results]
    return {"mean": mean(values), "standard_deviation": stdev(values) if len(values) > 1 else 0.0}
