"""Load a dataset that a builder wrote, from its folder or from the Hub."""

import os
import shutil
from pathlib import Path
from typing import overload

import datasets

from m4ser.data.schema import DataError
from m4ser.sources import refuse_missing

DATA, CARD, REPORT = "data", "README.md", "report.json"
COMPLETE = ".dataset"


@overload
def load_dataset(dataset: str | Path, split: None = None) -> datasets.DatasetDict: ...
@overload
def load_dataset(dataset: str | Path, split: str) -> datasets.Dataset: ...
def load_dataset(dataset: str | Path, split: str | None = None) -> datasets.Dataset | datasets.DatasetDict:
    """Load one split of a dataset, or all of them.

    Args:
        dataset: folder or Hub id. split: train, validation or test.

    Raises:
        DataError: no such dataset, one that cannot be read, or no such split.
    """
    try:
        refuse_missing(dataset, "dataset", "dataset")
    except ValueError as error:
        raise DataError(f"{error} Build it with datasets_builders, or check its Hub id.") from error
    try:
        finish_writing(Path(dataset))
        splits = datasets.load_dataset(str(dataset))
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"The dataset {dataset} cannot be loaded: build it with datasets_builders, or check its Hub id ({reason})."
        ) from error
    if split is None:
        return splits
    if split not in splits:
        raise DataError(f"The dataset {dataset} has no split {split!r}; it has {', '.join(splits)}.")
    return splits[split]


def finish_writing(folder: Path) -> None:
    """Move a dataset that was written as a whole to its own names, where a kill came between.

    Renamed to COMPLETE, a dataset is there; its files follow one by one, whoever gets to it first.
    """
    written = folder / COMPLETE
    if not written.is_dir():
        return
    if (written / DATA).exists():
        (folder / REPORT).unlink(missing_ok=True)
        if (folder / DATA).exists():
            (folder / DATA).rename(written / "former")
        (written / DATA).rename(folder / DATA)
    for name in (CARD, REPORT):
        if (written / name).exists():
            os.replace(written / name, folder / name)
    shutil.rmtree(written)


def merge_splits(splits: datasets.DatasetDict, columns: list[str] | None = None) -> datasets.Dataset:
    """Concatenate all splits, or those of `columns` that a split has."""
    rows = splits.values()
    if columns is not None:
        rows = [part.select_columns([name for name in columns if name in part.column_names]) for part in rows]
    return datasets.concatenate_datasets(list(rows))
