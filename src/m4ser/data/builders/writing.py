"""Write a dataset: a folder that `datasets.load_dataset` reads here as it will from the Hub.

It holds one Parquet file a split with the recordings in it, a card, and where a builder found something in the raw
data, its report.
"""

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from types import MappingProxyType

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
from transformers import PreTrainedTokenizerBase

from m4ser.data.builders.card import SplitStatistics, dataset_card
from m4ser.data.coverage import check_coverage
from m4ser.data.labels import LABEL_FEATURES, LabelStatistics, aligned_labels
from m4ser.data.loading import CARD, COMPLETE, DATA, REPORT, finish_writing
from m4ser.data.schema import COLUMNS, NO_COLUMNS, ROWS_PER_BATCH, SPLITS, DataError, Utterance, features
from m4ser.files import folder_digest, write_whole
from m4ser.model.saving_m4ser import flush, unfinished_path

FILE_NAMES = {split: f"{split}-00000-of-00001.parquet" for split in SPLITS}
NO_FINDINGS: Mapping[str, Sequence[str]] = MappingProxyType({})


def write_dataset(
    utterances: Iterable[Utterance],
    labels: Sequence[str],
    output_dir: str | Path,
    *,
    title: str,
    description: str,
    license_id: str | None = None,
    tokenizer: PreTrainedTokenizerBase | None = None,
    extra_columns: Mapping = NO_COLUMNS,
    findings: Mapping[str, Sequence[str]] = NO_FINDINGS,
    allow_missing_text: bool = True,
) -> dict[str, SplitStatistics]:
    """Write OUT/data/SPLIT-00000-of-00001.parquet and the card OUT/README.md, a batch of rows at a time.

    Args:
        utterances: any order; each goes to the file of its split.
        labels: the emotions, in the order of their class ids.
        title, description, license_id: for the card.
        tokenizer: where given, the columns of `m4ser.data.labels` are added.
        extra_columns: the types of the columns in every utterance's `extra`, which stand after COLUMNS.
        findings: what is worth knowing about the raw data, lines by kind; may grow while `utterances` are read.
            Where there is any, all goes to OUT/report.json and the beginning of each kind into the card.
        allow_missing_text: where False, a split with hypotheses for less than 99 % is refused, unless there is none at
            all yet: a dataset is first built to be transcribed.

    Returns:
        The counts of each split, for `m4ser.data.builders.card.summary`.

    Raises:
        DataError: no utterance, an emotion that is not in `labels`, an id that comes twice, other extra columns,
            missing hypotheses, or an OUT whose README.md or data/ is not a dataset's. A former dataset in OUT stays as
            it was.
    """
    output_dir = Path(output_dir)
    finish_writing(output_dir)
    files = {file.name for file in (output_dir / DATA).glob("*")}
    if not files <= set(FILE_NAMES.values()) or ((output_dir / CARD).exists() and not files):
        raise DataError(f"{output_dir} holds other things than a dataset; choose another output folder.")
    output_dir.mkdir(parents=True, exist_ok=True)
    # Beside the former dataset, so that the new one replaces it by renaming.
    made = unfinished_path(output_dir / COMPLETE.removeprefix("."))
    made.mkdir()
    try:
        statistics = _write_splits(utterances, labels, made / DATA, tokenizer, extra_columns)
        if not allow_missing_text:
            _check_hypotheses(statistics)
        content_hash = folder_digest(made / DATA)[:16]
        card = dataset_card(title, description, license_id, labels, statistics, findings, content_hash)
        write_whole(made / CARD, card)
        if findings:
            write_whole(made / REPORT, json.dumps(dict(findings), indent=2, ensure_ascii=False) + "\n")
        for path in (*made.glob(f"{DATA}/*"), made / DATA, made):
            flush(path)
        made.rename(output_dir / COMPLETE)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    finish_writing(output_dir)
    return statistics


def _write_splits(
    utterances: Iterable[Utterance],
    labels: Sequence[str],
    folder: Path,
    tokenizer: PreTrainedTokenizerBase | None,
    extra_columns: Mapping,
) -> dict[str, SplitStatistics]:
    """Write each utterance to its split's file; return what each split holds, in the order of SPLITS."""
    columns = features(labels, extra_columns) | (LABEL_FEATURES if tokenizer else {})
    schema = datasets.Features(columns).arrow_schema
    statistics, writers = {}, {}
    folder.mkdir()
    with ExitStack() as stack:
        for batch in _batches(_checked(utterances, labels, set(extra_columns)), ROWS_PER_BATCH):
            for split in SPLITS:
                members = [utterance for utterance in batch if utterance.split == split]
                if members and split not in writers:
                    writers[split] = stack.enter_context(pq.ParquetWriter(folder / FILE_NAMES[split], schema))
                    statistics[split] = SplitStatistics(labels=LabelStatistics(tokenizer) if tokenizer else None)
                rows = [_row(utterance, labels, tokenizer) for utterance in members]
                if rows:
                    writers[split].write_table(pa.Table.from_pylist(rows, schema=schema))
                for utterance, row in zip(members, rows, strict=True):
                    statistics[split].add(utterance, row)
    if not statistics:
        raise DataError("There is no utterance to write.")
    return {split: statistics[split] for split in SPLITS if split in statistics}


def _check_hypotheses(statistics: Mapping[str, SplitStatistics]) -> None:
    counts = {split: (one.with_hypothesis, one.emotions.total()) for split, one in statistics.items()}
    if any(present for present, _ in counts.values()):
        remedy = "transcribe the rest with m4ser transcribe, or build without it by --allow_missing_text."
        check_coverage(counts, "hypothesis", remedy)


def _checked(utterances: Iterable[Utterance], labels: Sequence[str], extra: set[str]) -> Iterator[Utterance]:
    ids = set()
    for utterance in utterances:
        if utterance.emotion not in labels:
            raise DataError(
                f"Utterance {utterance.id!r} has the unknown emotion {utterance.emotion!r}; "
                f"choose from {', '.join(labels)}."
            )
        if utterance.id in ids:
            raise DataError(f"The id {utterance.id!r} comes twice; ids must be unique.")
        if set(utterance.extra) != extra:
            raise DataError(f"Utterance {utterance.id!r} needs exactly the extra columns {sorted(extra)}.")
        ids.add(utterance.id)
        yield utterance


def _batches(items: Iterable, size: int) -> Iterator[list]:
    items = iter(items)
    while batch := list(islice(items, size)):
        yield batch


def _row(utterance: Utterance, labels: Sequence[str], tokenizer: PreTrainedTokenizerBase | None) -> dict:
    row = {column: getattr(utterance, column) for column in COLUMNS}
    row["audio"] = None if utterance.audio is None else {"bytes": utterance.audio, "path": utterance.path}
    row["emotion"] = labels.index(utterance.emotion)
    row |= utterance.extra
    if tokenizer:
        row |= aligned_labels(tokenizer, utterance.hypothesis, utterance.transcript)
    return row
