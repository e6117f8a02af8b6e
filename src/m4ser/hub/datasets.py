"""Datasets on the Hub: recordings are published only where the license is known to allow redistribution."""

import shutil
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
from huggingface_hub import DatasetCard

from m4ser.data.loading import finish_writing
from m4ser.data.schema import ROWS_PER_BATCH, DataError
from m4ser.hub.private import is_local_path, without_private

# Licenses that begin with one of these allow redistribution of content. Those of programs are not among them: MELD's
# labels are under the GPL, its recordings belong to others.
OPEN_LICENSES = ("apache-", "bsd", "cc", "cdla-", "mit", "odbl", "odc-", "pddl", "unlicense")
MODEL_COLUMN = "asr_model_id"
WITHOUT_AUDIO = (
    "The recordings are not in this repository: the column `audio` is left out. Who has the corpus builds the whole "
    "dataset from it with datasets_builders.\n"
)


def license_of(dataset: str | Path) -> str | None:
    """Return the license in the card of a dataset's folder, as an identifier of the Hub, or None.

    Raises:
        DataError: the folder holds no dataset.
    """
    dataset = Path(dataset)
    finish_writing(dataset)
    if not any(dataset.glob("data/*.parquet")) or not (dataset / "README.md").is_file():
        raise DataError(f"{dataset} is no dataset: build it with datasets_builders first.")
    return DatasetCard.load(dataset / "README.md").data.get("license")


def is_redistributable(license: str | None) -> bool:
    """Tell whether recordings under this license may be published; what is unknown, "other" or missing may not."""
    return license is not None and license.startswith(OPEN_LICENSES)


def is_private(dataset: str | Path) -> bool:
    """Tell whether rows name an ASR model by its path on this machine.

    Raises:
        DataError: ids are paths on this machine.
    """
    found = False
    for path in _parquet_files(dataset):
        table = pq.read_table(path, columns=["id", MODEL_COLUMN])
        for id in filter(is_local_path, table.column("id").to_pylist()):
            raise DataError(f"{dataset}: the id {id!r} is a path on this machine; build it again with ids of its own.")
        found = found or any(is_local_path(name or "") for name in table.column(MODEL_COLUMN).unique().to_pylist())
    return found


def copy_for_hub(dataset: str | Path, copy: str | Path, with_audio: bool = False) -> None:
    """Copy a dataset's files to another folder, a batch of rows at a time, and no path on this machine with them.

    Args:
        with_audio: copy the column `audio`, too.
    """
    dataset, copy = Path(dataset), Path(copy)
    (copy / "data").mkdir(parents=True)
    for path in _parquet_files(dataset):
        with pq.ParquetFile(path) as rows:
            features = datasets.Features.from_arrow_schema(rows.schema_arrow)
            if not with_audio:
                features.pop("audio", None)
            schema = features.arrow_schema
            with pq.ParquetWriter(copy / "data" / path.name, schema) as writer:
                for batch in rows.iter_batches(batch_size=ROWS_PER_BATCH, columns=list(features)):
                    writer.write_table(_without_paths(pa.Table.from_batches([batch])).cast(schema))
    if (dataset / "report.json").is_file():
        shutil.copy(dataset / "report.json", copy)
    card = (dataset / "README.md").read_text(encoding="utf-8")
    (copy / "README.md").write_text(card if with_audio else f"{card}\n{WITHOUT_AUDIO}", encoding="utf-8")


def _parquet_files(dataset: str | Path) -> list[Path]:
    return sorted(Path(dataset).glob("data/*.parquet"))


def _without_paths(table: pa.Table) -> pa.Table:
    index = table.column_names.index(MODEL_COLUMN)
    names = [without_private(name) for name in table.column(index).to_pylist()]
    return table.set_column(index, table.field(index), pa.array(names, table.field(index).type))
