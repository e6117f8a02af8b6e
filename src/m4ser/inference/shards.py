"""A folder of Parquet shards: what is to be scored, fixed at the start, and which parts of it are done.

    DIR/shard-00000-of-00012.parquet ...   a part of the table each, written as a whole
    DIR/.plan/recordings.parquet           the list, a row group a shard
    DIR/.plan/scoring.json                 the model and the options that the rows depend on

Names that begin with a dot are passed over by what reads a folder of Parquet files (pandas, datasets, Spark).
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, fields
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from m4ser.data.schema import DataError
from m4ser.files import whole_file, write_whole
from m4ser.inference.recordings import Recording

PLAN = ".plan"
RECORDINGS, SETTINGS = "recordings.parquet", "scoring.json"
# Sources as bytes: a path need not be in UTF-8.
_TYPES = {"row": pa.int64(), "source": pa.binary()}
_SCHEMA = pa.schema([(field.name, _TYPES.get(field.name, pa.string())) for field in fields(Recording)])


class ShardFolder:
    """The plan of a folder, and its shards.

    Args:
        folder: of which `plan` has made the plan.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self._recordings = pq.ParquetFile(self.folder / PLAN / RECORDINGS)

    @classmethod
    def plan(
        cls, folder: str | Path, recordings: Iterable[Recording], settings: Mapping[str, Any], shard_size: int
    ) -> "ShardFolder":
        """Fix what is scored into a folder, or check that it is what is being scored there already.

        Args:
            settings: what the rows depend on besides the recordings. shard_size: recordings of a shard.

        Raises:
            DataError: no recording; a folder of something else, or of other recordings or settings.
        """
        folder = Path(folder)
        there = folder / PLAN
        if folder.exists() and (not folder.is_dir() or _holds_more_than_plans(folder)) and not there.exists():
            raise DataError(f"{folder} holds something else; give --output a folder that is new, or of this command.")
        made = folder / f"{PLAN}-{uuid4().hex}"
        made.mkdir(parents=True)
        try:
            count, digest = _write_recordings(made / RECORDINGS, recordings, shard_size)
            if not count:
                raise DataError("There is no recording in what was given.")
            settings = {**settings, "recordings": count, "digest": digest, "shard_size": shard_size}
            write_whole(made / SETTINGS, json.dumps(settings, indent=1, ensure_ascii=False))
            try:
                os.rename(made, there)  # of several processes one does it, and the others find an equal plan
            except OSError:
                _refuse_other(folder, settings)
        finally:
            shutil.rmtree(made, ignore_errors=True)
            with suppress(OSError):
                folder.rmdir()  # where nothing was made
        return cls(folder)

    def __len__(self) -> int:
        return self._recordings.num_row_groups

    @property
    def recordings(self) -> int:
        """How many there are in all."""
        return self._recordings.metadata.num_rows

    def size(self, shard: int) -> int:
        """Return how many recordings a shard has."""
        return self._recordings.metadata.row_group(shard).num_rows

    def read(self, shard: int) -> list[Recording]:
        """Return the recordings of a shard."""
        rows = self._recordings.read_row_group(shard).to_pylist()
        return [Recording(**row | {"source": row["source"] and os.fsdecode(row["source"])}) for row in rows]

    def path(self, shard: int) -> Path:
        """Return the file of a shard."""
        return self.folder / f"shard-{shard:05d}-of-{len(self):05d}.parquet"

    def claimed(self, shard: int) -> Path:
        """Return the folder that a process claims which works on a shard."""
        return self.folder / PLAN / f"{shard:05d}"

    def is_written(self, shard: int) -> bool:
        """Tell whether a shard is done."""
        return self.path(shard).exists()

    def write(self, shard: int, table: pa.Table) -> None:
        """Write a shard as a whole."""
        write_table(self.path(shard), [table], table.schema)

    def errors(self) -> int:
        """Count the rows with an error in all shards."""
        files = (pq.ParquetFile(self.path(shard)) for shard in range(len(self)))
        columns = (file.read(["error"]).column("error") for file in files)
        return sum(len(column) - column.null_count for column in columns)


def write_table(path: Path, tables: Iterable[pa.Table], schema: pa.Schema) -> None:
    """Write tables as one Parquet file, completely or not at all."""
    with whole_file(path) as unfinished, pq.ParquetWriter(unfinished, schema) as writer:
        for table in tables:
            writer.write_table(table)


def _write_recordings(path: Path, recordings: Iterable[Recording], shard_size: int) -> tuple[int, str]:
    """Write the list, a row group a shard; return how many there are, and a digest of them."""
    digest, count = hashlib.sha256(), 0
    with pq.ParquetWriter(path, _SCHEMA) as writer:
        for block in _blocks(recordings, shard_size):
            rows = [asdict(recording) for recording in block]
            digest.update("".join(json.dumps(row) + "\n" for row in rows).encode())
            rows = [row | {"source": row["source"] and os.fsencode(row["source"])} for row in rows]
            writer.write_table(pa.Table.from_pylist(rows, _SCHEMA), row_group_size=shard_size)
            count += len(rows)
    return count, digest.hexdigest()


def _blocks(recordings: Iterable[Recording], size: int) -> Iterator[list[Recording]]:
    iterator = iter(recordings)
    while block := list(islice(iterator, size)):
        yield block


def _holds_more_than_plans(folder: Path) -> bool:
    """Tell whether a folder has what no other process of the same command can have begun there."""
    return any(not path.name.startswith(PLAN) for path in folder.iterdir())


def _refuse_other(folder: Path, settings: Mapping[str, Any]) -> None:
    """Refuse to add to the scores of other recordings, or of another model."""
    before = json.loads((folder / PLAN / SETTINGS).read_text(encoding="utf-8"))
    different = [name for name in settings if before.get(name) != settings[name]]
    if "digest" in different:
        raise DataError(
            f"{folder} holds scores of {before['recordings']} other recordings or texts (now {settings['recordings']})"
            "; give another --output."
        )
    if different:
        name = different[0]
        raise DataError(
            f"{folder} holds scores with {name} {before.get(name)!r}, not {settings[name]!r}; give another --output."
        )
