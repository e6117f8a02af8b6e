"""The recordings that a model is evaluated on: its run's own partition of a dataset, or the dataset's own splits."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets

from m4ser.data.loading import load_dataset
from m4ser.data.schema import DataError
from m4ser.evaluation.protocols import FOLDLESS, k_shot, partition
from m4ser.run_folder import RESULTS, is_finished, read_predictions, read_results
from m4ser.sources import refuse_missing

OWN_SPLITS = "the dataset's own splits"
# The share of a run's test recordings that is at least in its dataset, which may have been built again otherwise.
SAME_DATASET = 0.5


@dataclass(frozen=True)
class Selection:
    """The recordings that a model is evaluated on, and how they were chosen.

    Args:
        rows: the recordings. text_column: the text that the network was trained on, "hypothesis" or "transcript".
        evaluated_on: for the results: `dataset`, `split`, `protocol` (with its fold), `fold`, `text_column`, and
            `training_recordings`, whether the model was trained on these very recordings (None: unknown).
    """

    rows: datasets.Dataset
    text_column: str
    evaluated_on: dict[str, Any]


def select_rows(
    model: str | Path, dataset: str | Path, split: str = "test", text_column: str | None = None
) -> Selection:
    """Select a split as the model's run had it; warn where that cannot be, and where the split is the training's.

    The run's results.json names its protocol, fold, shots and text. A model without one, and a dataset that is not the
    run's (evaluation across corpora), leave the dataset's own splits.

    Args:
        model, dataset: folders or Hub ids. text_column: another text than the run's.

    Raises:
        DataError: no such dataset or split, or one without what the run's protocol needs. ValueError: a malformed run.
    """
    refuse_missing(model, "model")
    corpus = load_dataset(dataset)
    protocol, splits, data, trained = OWN_SPLITS, corpus, {}, None
    if not is_finished(model):
        _warn(f"{model} has no {RESULTS} here, which would name its partition; {OWN_SPLITS} are used.")
    else:
        results = read_results(model)
        data = results["config"]["data"]
        if is_dataset_of(model, results, dataset, corpus):
            protocol, splits = run_partition(results, corpus)
            trained = split == "train"
        else:
            trained = False
            _warn(f"{dataset} is not the dataset of {model}, which is {data['dataset']}; {OWN_SPLITS} are used.")
    rows = pick(splits, split, dataset)
    if trained:
        _warn(f"The split train is what {model} was trained on; its scores there say nothing about other recordings.")
    column = text_column or data.get("text_column") or "hypothesis"
    evaluated_on = {
        "dataset": str(dataset),
        "split": split,
        "protocol": protocol,
        "fold": None if protocol == OWN_SPLITS else data.get("fold"),
        "text_column": column,
        "training_recordings": trained,
    }
    return Selection(rows, column, evaluated_on)


def run_partition(
    results: Mapping[str, Any], corpus: datasets.DatasetDict
) -> tuple[str, Mapping[str, datasets.Dataset]]:
    """Split a run's dataset as its training did: (the protocol with its fold, {split: rows}).

    Args:
        results: what results.json holds.

    Raises:
        DataError: the dataset lacks what the protocol needs.
    """
    data = results["config"]["data"]
    protocol = data.get("protocol", "held_out")
    shots = data.get("shots")
    if protocol in FOLDLESS and not shots:
        return protocol, corpus  # training checked what they share
    parts = partition(corpus, protocol, data.get("fold"))
    if shots:
        parts = k_shot(parts, shots, results["seed"])
    return parts.name, parts.splits


def is_dataset_of(
    run: str | Path, results: Mapping[str, Any], dataset: str | Path, corpus: datasets.DatasetDict
) -> bool:
    """Tell whether a run was trained on a dataset: by its test recordings' ids, or without them by the name."""
    tested = read_predictions(run, results["labels"])
    if not tested:
        return Path(results["config"]["data"]["dataset"]).resolve().name == Path(dataset).resolve().name
    found = {row_id for rows in corpus.values() if "id" in rows.column_names for row_id in rows["id"]}
    return len(found & tested.keys()) >= SAME_DATASET * len(tested)


def pick(splits: Mapping[str, datasets.Dataset], split: str, dataset: str | Path) -> datasets.Dataset:
    """Return one of a dataset's splits.

    Raises:
        DataError: there is no such split.
    """
    if split not in splits:
        raise DataError(f"The dataset {dataset} has no split {split!r}; it has {', '.join(splits)}.")
    return splits[split]


def _warn(text: str) -> None:
    warnings.warn(text, stacklevel=3)
