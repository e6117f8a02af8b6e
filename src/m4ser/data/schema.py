"""The columns of every m4ser dataset, and how a dataset is written.

A dataset is a folder that `datasets.load_dataset` reads here as it will from the Hub: one Parquet file a
split with the recordings in it, and a card.
"""

import math
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq

from m4ser.data.card import SplitStatistics, dataset_card
from m4ser.data.labels import LABEL_FEATURES, aligned_labels

SAMPLING_RATE = 16_000
SPLITS = ("train", "validation", "test")
ROWS_PER_BATCH = 64
FILE_NAMES = {split: f"{split}-00000-of-00001.parquet" for split in SPLITS}

_TEXT = datasets.Value("string")
_FEATURES = {
    "id": _TEXT,
    "audio": datasets.Audio(sampling_rate=SAMPLING_RATE, decode=False),
    "transcript": _TEXT,
    "hypothesis": _TEXT,
    "emotion": None,  # a ClassLabel with the corpus's own names
    "speaker": _TEXT,
    "session": _TEXT,
    "dialogue": _TEXT,
    "split": _TEXT,
    "duration": datasets.Value("float32"),
}
COLUMNS = tuple(_FEATURES)


class DataError(ValueError):
    """Data that cannot be used; the message says which and what to do."""


@dataclass(frozen=True)
class Utterance:
    """One row. `audio` holds the bytes of an audio file named `path`; `duration` is in seconds.

    `transcript` is what a human wrote, `hypothesis` what a recogniser heard; None means that there is none.
    """

    id: str
    audio: bytes
    path: str
    emotion: str
    duration: float
    split: str = "train"
    transcript: str | None = None
    hypothesis: str | None = None
    speaker: str | None = None
    session: str | None = None
    dialogue: str | None = None

    def __post_init__(self):
        for name in ("id", "audio", "path", "emotion"):
            if not getattr(self, name):
                raise DataError(f"Utterance {self.id!r} has an empty {name}.")
        if not (math.isfinite(self.duration) and self.duration > 0):
            raise DataError(f"Utterance {self.id!r} lasts {self.duration} s; it must be longer than 0 s.")
        if self.split not in SPLITS:
            raise DataError(f"Utterance {self.id!r} is in split {self.split!r}; choose from {', '.join(SPLITS)}.")


def features(labels: Sequence[str]) -> datasets.Features:
    """The type of each column. Audio is never decoded, nor encoded, by `datasets`: both need torchcodec."""
    return datasets.Features(_FEATURES | {"emotion": datasets.ClassLabel(names=list(labels))})


def write_dataset(
    utterances: Iterable[Utterance],
    labels: Sequence[str],
    output_dir: str | Path,
    *,
    title: str,
    description: str,
    license_id: str | None = None,
    tokenizer=None,
) -> None:
    """Write OUT/data/<split>-00000-of-00001.parquet and the card OUT/README.md, a batch of rows at a time.

    Args:
        utterances: any order; each goes to the file of its split.
        labels: the emotions, in the order of their class ids.
        title, description, license_id: for the card.
        tokenizer: where given, the columns of `m4ser.data.labels` are added.

    Raises:
        DataError: no utterance, an emotion that is not in `labels`, an id that comes twice, or an OUT
            whose README.md or data/ is not a dataset's. A former dataset in OUT stays as it was.
    """
    output_dir = Path(output_dir)
    data, readme = output_dir / "data", output_dir / "README.md"
    files = {file.name for file in data.glob("*")}
    if not files <= set(FILE_NAMES.values()) or (readme.exists() and not files):
        raise DataError(f"{output_dir} holds other things than a dataset; choose another output folder.")
    output_dir.mkdir(parents=True, exist_ok=True)
    # Beside the old dataset, so that the new one comes into place by renaming.
    with tempfile.TemporaryDirectory(dir=output_dir, prefix=".building-") as building:
        statistics = _write_splits(utterances, labels, Path(building, "data"), tokenizer)
        card = dataset_card(title, description, license_id, labels, statistics)
        Path(building, "README.md").write_text(card, encoding="utf-8")
        if data.exists():
            data.rename(Path(building, "former"))
        Path(building, "data").rename(data)
        os.replace(Path(building, "README.md"), readme)


def _write_splits(
    utterances: Iterable[Utterance], labels: Sequence[str], folder: Path, tokenizer
) -> dict[str, SplitStatistics]:
    """Write each utterance to its split's file; return what each split holds, in the order of SPLITS."""
    columns = features(labels) | (LABEL_FEATURES if tokenizer else {})
    schema = datasets.Features(columns).arrow_schema
    statistics, writers = {}, {}
    folder.mkdir()
    with ExitStack() as stack:
        for batch in _batches(_checked(utterances, labels), ROWS_PER_BATCH):
            for split in SPLITS:
                rows = [_row(utterance, labels, tokenizer) for utterance in batch if utterance.split == split]
                if rows and split not in writers:
                    writers[split] = stack.enter_context(pq.ParquetWriter(folder / FILE_NAMES[split], schema))
                    statistics[split] = SplitStatistics()
                if rows:
                    writers[split].write_table(pa.Table.from_pylist(rows, schema=schema))
            for utterance in batch:
                statistics[utterance.split].add(utterance)
    if not statistics:
        raise DataError("There is no utterance to write.")
    return {split: statistics[split] for split in SPLITS if split in statistics}


def _checked(utterances: Iterable[Utterance], labels: Sequence[str]) -> Iterator[Utterance]:
    ids = set()
    for utterance in utterances:
        if utterance.emotion not in labels:
            raise DataError(
                f"Utterance {utterance.id!r} has the unknown emotion {utterance.emotion!r}; "
                f"choose from {', '.join(labels)}."
            )
        if utterance.id in ids:
            raise DataError(f"The id {utterance.id!r} comes twice; ids must be unique.")
        ids.add(utterance.id)
        yield utterance


def _batches(items: Iterable, size: int) -> Iterator[list]:
    items = iter(items)
    while batch := list(islice(items, size)):
        yield batch


def _row(utterance: Utterance, labels: Sequence[str], tokenizer) -> dict:
    row = {column: getattr(utterance, column) for column in COLUMNS}
    row["audio"] = {"bytes": utterance.audio, "path": utterance.path}
    row["emotion"] = labels.index(utterance.emotion)
    if tokenizer:
        row |= aligned_labels(tokenizer, utterance.hypothesis, utterance.transcript)
    return row
