"""Datasets on the Hub: recordings are published only where the license is known to allow redistribution."""

import shutil
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
from huggingface_hub import DatasetCard

from m4ser.data.loading import finish_writing
from m4ser.data.schema import ROWS_PER_BATCH, DataError

# Licenses that begin with one of these allow redistribution of content. Those of programs are not among them: MELD's
# labels are under the GPL, its recordings belong to others.
OPEN_LICENSES = ("apache-", "bsd", "cc", "cdla-", "mit", "odbl", "odc-", "pddl", "unlicense")
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


def copy_without_audio(dataset: str | Path, copy: str | Path) -> None:
    """Copy a dataset's files to another folder without the column `audio`, a batch of rows at a time."""
    dataset, copy = Path(dataset), Path(copy)
    (copy / "data").mkdir(parents=True)
    for path in sorted(dataset.glob("data/*.parquet")):
        with pq.ParquetFile(path) as rows:
            features = datasets.Features.from_arrow_schema(rows.schema_arrow)
            features.pop("audio", None)
            schema = features.arrow_schema
            with pq.ParquetWriter(copy / "data" / path.name, schema) as writer:
                for batch in rows.iter_batches(batch_size=ROWS_PER_BATCH, columns=list(features)):
                    writer.write_table(pa.Table.from_batches([batch]).cast(schema))
    if (dataset / "report.json").is_file():
        shutil.copy(dataset / "report.json", copy)
    card = (dataset / "README.md").read_text(encoding="utf-8")
    (copy / "README.md").write_text(f"{card}\n{WITHOUT_AUDIO}", encoding="utf-8")
