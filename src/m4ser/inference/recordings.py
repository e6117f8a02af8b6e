"""Recordings to score: files, folders, addresses, lists and datasets, to one row a recording."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import datasets

from m4ser.data.builders.builder_cli import json_object
from m4ser.data.builders.hypotheses import read_hypotheses
from m4ser.data.loading import load_dataset
from m4ser.data.schema import DataError
from m4ser.model.audio_m4ser import ADDRESSES, AUDIO_SUFFIXES
from m4ser.model.inputs_m4ser import valid_unicode

LISTS = frozenset({".csv", ".tsv", ".jsonl"})
PARQUET = ".parquet"
PATH_COLUMNS = ("path", "file", "file_name")
TEXT_COLUMNS = ("hypothesis", "text")
LIGHT_COLUMNS = frozenset({"id", *PATH_COLUMNS, *TEXT_COLUMNS})


@dataclass(frozen=True)
class Recording:
    """One recording to score.

    Args:
        id: its path or address as it was given, or its id in a list or dataset; valid Unicode.
        source: its path or address; None for a row of a dataset.
        dataset, split, row: of a dataset, its name or Parquet file, and where in it.
        text: its hypothesis; None where it is to be transcribed.
    """

    id: str
    source: str | None = None
    dataset: str | None = None
    split: str | None = None
    row: int | None = None
    text: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", valid_unicode(self.id))
        if self.text is not None:
            object.__setattr__(self, "text", valid_unicode(self.text))

    def load(self) -> dict[str, Any]:
        """Return it as the pipeline takes it; a dataset's audio is read from the dataset."""
        if self.dataset is None or self.split is None or self.row is None:
            return {"path": self.source, "text": self.text}
        audio = _open_dataset(self.dataset)[self.split][self.row].get("audio")
        return {"audio": audio, "path": self.id, "text": self.text}


def list_recordings(inputs: Sequence[str]) -> Iterator[Recording]:
    """List what is named on a command line, one after the other; a list of any length is never held as a whole.

    Args:
        inputs: recordings and http(s) addresses; folders of recordings; CSV, TSV or JSON lines files with a column
            `path` (from the file's folder) and, optionally, `id` and `hypothesis`; Parquet files with `audio` or
            `path`; datasets, of a folder or the Hub.

    Raises:
        DataError: a list or dataset that cannot be read.
    """
    for name in inputs:
        path = Path(name)
        if path.is_dir() and not any(path.rglob(f"*{PARQUET}")):
            yield from (Recording(file, file) for file in files_in(path))
        elif path.is_file() and path.suffix.lower() in LISTS:
            yield from _read_list(path)
        elif path.is_dir() or path.suffix.lower() == PARQUET or _may_be_dataset(name):
            yield from _read_dataset(name)
        else:
            yield Recording(name, name)


def files_in(folder: Path) -> list[str]:
    """Return the paths of the recordings in a folder and below, by their suffixes."""
    return sorted(str(file) for file in folder.rglob("*") if file.suffix.lower() in AUDIO_SUFFIXES)


def is_list(name: str) -> bool:
    """Tell whether an input is a file or folder that lists or holds many recordings beside what says of them."""
    path = Path(name)
    if path.is_dir():
        return any(path.rglob(f"*{PARQUET}"))
    return path.is_file() and path.suffix.lower() in LISTS | {PARQUET}


def with_hypotheses(recordings: Iterator[Recording], hypotheses: Path) -> Iterator[Recording]:
    """Give each recording its text of a hypotheses file, which it finds by its id, or the end of it.

    Raises:
        DataError: a malformed file, or one that has no hypothesis of these recordings.
    """
    found = read_hypotheses(hypotheses)
    for recording in recordings:
        name = Path(recording.source).with_suffix("").as_posix() if recording.source else recording.id
        text = found.columns(recording.id, name).get("hypothesis")
        yield recording if text is None else replace(recording, text=text)
    found.check()


def _may_be_dataset(name: str) -> bool:
    """Tell whether a name that is no file may be that of a dataset on the Hub."""
    path = Path(name)
    is_name = not name.startswith((*ADDRESSES, ".", "/", "~")) and len(path.parts) == 2 and not path.suffix
    return is_name and not path.exists() and not path.parent.is_dir()


def _read_list(path: Path) -> Iterator[Recording]:
    read = _read_json_lines if path.suffix.lower() == ".jsonl" else _read_csv
    for line, row in _as_data_errors(path, read(path)):
        source = next((row[name] for name in PATH_COLUMNS if row.get(name)), None)
        if not isinstance(source, str):
            raise DataError(f"{path}, line {line}: there is no path; a list needs a column path.")
        is_address = source.startswith(ADDRESSES)
        text = next((row[name] for name in TEXT_COLUMNS if row.get(name) is not None), None)
        if not isinstance(text, str | None):
            raise DataError(f"{path}, line {line}: its hypothesis is no string.")
        where = source if is_address else str(path.parent / source)
        yield Recording(str(row.get("id") or source), where, text=text)


def _as_data_errors(path: Path, rows: Iterator[tuple[int, dict[str, Any]]]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the same rows; name the list in what is wrong with it."""
    try:
        yield from rows
    except UnicodeDecodeError as error:
        raise DataError(f"Cannot read {path}: it is not in UTF-8; save it as UTF-8 ({error}).") from error
    except (csv.Error, DataError) as error:
        raise DataError(f"{path}: {error}.") from error


def _read_csv(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        header = file.readline()
        file.seek(0)
        # Strict: a quote that is never closed would take all lines after it into one value.
        reader = csv.DictReader(file, delimiter=max(",;\t", key=header.count), strict=True)
        for row in reader:
            if None in row:
                raise DataError(f"line {reader.line_num} has more values than columns; quote a text that has a comma")
            yield reader.line_num, row


def _read_json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield number, json_object(line)


def _read_dataset(name: str) -> Iterator[Recording]:
    for split, rows in _open_dataset(name).items():
        columns = set(rows.column_names)
        if not columns & {"audio", *PATH_COLUMNS, *TEXT_COLUMNS}:
            raise DataError(f"{name} has no column audio, path or hypothesis; it has {', '.join(rows.column_names)}.")
        has_audio = "audio" in columns
        light = rows.select_columns([column for column in rows.column_names if column in LIGHT_COLUMNS])
        for index, row in enumerate(light):
            text = next((row[column] for column in TEXT_COLUMNS if row.get(column) is not None), None)
            path = next((row[column] for column in PATH_COLUMNS if row.get(column)), None)
            id = str(row.get("id") or path or f"{split}/{index}")
            if has_audio or path is None:
                yield Recording(id, dataset=name, split=split, row=index, text=text)
            else:
                where = path if path.startswith(ADDRESSES) else str(Path(name).parent / path)
                yield Recording(id, where, text=text)


@lru_cache(maxsize=8)
def _open_dataset(name: str) -> datasets.DatasetDict:
    if Path(name).is_file():
        splits = datasets.load_dataset("parquet", data_files={"train": name})
    else:
        splits = load_dataset(name)
    return datasets.DatasetDict(
        {
            split: rows.cast_column("audio", datasets.Audio(decode=False)) if "audio" in rows.column_names else rows
            for split, rows in splits.items()
        }
    )
