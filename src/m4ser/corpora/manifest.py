"""Build a dataset from anyone's recordings, listed in a CSV or a JSON lines file.

python datasets_builders/manifest.py --data_dir recordings/manifest.csv --output_dir data/mine

--data_dir is the manifest, or the folder that holds a manifest.csv or manifest.jsonl. Columns: `path` (from the
manifest's folder) and `emotion`; optional `id`, `transcript`, `hypothesis`, `asr_model_id` (which ASR model made it),
`speaker`, `session`, `dialogue` and `split` (train, validation or test). Without a `split` column, speakers are spread
over the splits, none in two; without speakers too, all is for training, unless --stratify splits each emotion alike.
One bad row stops the build, unless --skip_bad leaves it out; each is named.
"""

import csv
import hashlib
import io
import os
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from m4ser.data.builders.builder_cli import (
    argument_parser,
    json_object,
    load_tokenizer,
    numbered_lines,
    read_recording,
    read_text,
)
from m4ser.data.builders.card import summary
from m4ser.data.builders.hypotheses import Hypotheses, read_hypotheses
from m4ser.data.builders.writing import write_dataset
from m4ser.data.schema import SPLITS, DataError, Utterance
from m4ser.model.audio_m4ser import AudioError

REQUIRED = ("path", "emotion")
COLUMNS = (*REQUIRED, "id", "transcript", "hypothesis", "asr_model_id", "speaker", "session", "dialogue", "split")
OPTIONAL = ("transcript", "asr_model_id", "speaker", "session", "dialogue")  # an empty value is none
UNSPLIT = (
    "All recordings are in the split train: to hold some out, give at least three speakers or a column split, or "
    "split each emotion alike by --stratify."
)
STRATIFIED = (
    "Split by emotion, without regard to speakers: who speaks in the test split may speak in training, too, and "
    "scores may be higher than on new speakers."
)
DELIMITERS = ",;\t"  # a spreadsheet writes semicolons where a comma is the decimal point
SHORTEST = 3  # letters that a column's name may be known by
LONGEST_SHOWN = 200  # characters of a path
MOST_NAMED = 20  # bad rows
HELD_OUT_SHARE = 0.15  # of the speakers, for each of validation and test


@dataclass
class Manifest:
    """The rows that are fit so far, and what is wrong with the others, by line number."""

    folder: Path
    rows: dict[int, dict] = field(default_factory=dict)
    problems: dict[int, str] = field(default_factory=dict)

    def refuse(self, line: int, reason: str) -> None:
        self.rows.pop(line, None)
        self.problems[line] = reason

    def report(self) -> str:
        lines = [f"  line {line}: {reason}" for line, reason in sorted(self.problems.items())]
        if rest := len(lines[MOST_NAMED:]):
            lines[MOST_NAMED:] = [f"  and {rest} more"]
        return "\n".join(["bad rows in the manifest:", *lines])


def find_manifest(data_dir: Path) -> Path:
    if data_dir.is_file():
        return data_dir
    for name in ("manifest.csv", "manifest.jsonl"):
        if (data_dir / name).is_file():
            return data_dir / name
    if not data_dir.is_dir():
        raise DataError(f"There is no file or folder {data_dir}; --data_dir is a manifest, or the folder of one.")
    raise DataError(f"No manifest.csv or manifest.jsonl in {data_dir}.")


def read_manifest(path: Path, stratify: bool = False) -> Manifest:
    """Read the rows, check everything but the recordings themselves, and split them, by emotion with `stratify`."""
    manifest = Manifest(path.parent)
    read = read_csv if path.suffix.lower() == ".csv" else read_json_lines
    columns: dict[str, None] = {}  # in their order
    for line, values in read(path, manifest):
        manifest.rows[line] = {column: as_text(values.get(column)) for column in COLUMNS}
        columns |= dict.fromkeys(values)
    refuse_misspelt(path, columns)
    if unused := [column for column in columns if column not in COLUMNS]:
        print(f"columns that are not used: {', '.join(unused)} (known: {', '.join(COLUMNS)})", file=sys.stderr)
    ids: dict[str, int] = {}
    splits_are_given = any(row["split"] for row in manifest.rows.values())
    for line, row in list(manifest.rows.items()):
        row["id"] = row["id"] or os.path.splitext(row["path"] or "")[0]
        problem = find_problem(row, manifest.folder, splits_are_given)
        if row["id"] in ids:
            problem = problem or f"the id {row['id']!r} is already in line {ids[row['id']]}"
        if problem:
            manifest.refuse(line, problem)
        else:
            ids[row["id"]] = line
    check_emotions(manifest.rows)
    rows = list(manifest.rows.values())
    if stratify:
        refuse_better_split(rows, splits_are_given)
        spread_emotions(rows)
    elif not splits_are_given:
        spread_speakers(rows)
    return manifest


def refuse_better_split(rows: Iterable[dict], splits_are_given: bool) -> None:
    """Refuse to split by emotion alone what has splits, or speakers enough to keep them apart."""
    if splits_are_given:
        raise DataError("The manifest has a column split; leave --stratify or that column out.")
    if len({row["speaker"] for row in rows} - {"", None}) >= len(SPLITS):
        raise DataError("The manifest has a column speaker, which keeps speakers apart; leave --stratify out.")


def refuse_misspelt(path: Path, columns: Collection[str]) -> None:
    """Refuse a column that may be a known one misspelt."""
    for column in columns:
        nearest = None if column in COLUMNS else nearest_column(column)
        if nearest and nearest not in columns:
            raise DataError(f"{path} has no column {nearest} but {column!r}; name it {nearest}, or leave it out.")


def nearest_column(name: str) -> str | None:
    """Return the known column that a name begins or nearly spells."""
    name = name.strip().casefold()
    begun = [column for column in COLUMNS if len(name) >= SHORTEST and column.startswith(name)]
    return next(iter(begun or get_close_matches(name, COLUMNS, n=1)), None)


def check_emotions(rows: Mapping[int, Mapping[str, str]]) -> None:
    """Refuse two emotions that differ in nothing but case."""
    seen: dict[str, tuple[str, int]] = {}
    for line, row in sorted(rows.items()):
        other, where = seen.setdefault(row["emotion"].casefold(), (row["emotion"], line))
        if other != row["emotion"]:
            raise DataError(
                f"The emotions {other!r} (line {where}) and {row['emotion']!r} (line {line}) differ only in case and "
                "would be two classes; write them alike."
            )


def read_csv(path: Path, manifest: Manifest) -> Iterator[tuple[int, dict]]:
    text = read_text(path)
    header = text.partition("\n")[0]
    delimiter = max(DELIMITERS, key=header.count)
    # Strict: a quote that is never closed would take all lines after it into one value.
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        yield from check_rows(path, reader, manifest)
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: no CSV ({error}); mend its quotes.") from error


def check_rows(path: Path, reader: csv.DictReader, manifest: Manifest) -> Iterator[tuple[int, dict]]:
    names = reader.fieldnames or ()
    if missing := [column for column in REQUIRED if column not in names]:
        refuse_misspelt(path, names)
        raise DataError(f"{path} has no column {missing[0]}; it needs {' and '.join(REQUIRED)}.")
    for values in reader:
        if None in values:
            manifest.refuse(reader.line_num, "more values than columns; quote a text that has a comma")
        else:
            yield reader.line_num, values


def read_json_lines(path: Path, manifest: Manifest) -> Iterator[tuple[int, dict]]:
    for line, text in numbered_lines(path):
        try:
            yield line, json_object(text)
        except DataError as error:
            manifest.refuse(line, str(error))


def as_text(value) -> str | None:
    return None if value is None else str(value).strip()


def find_problem(row: Mapping[str, Any], folder: Path, splits_are_given: bool) -> str | None:
    for column in REQUIRED:
        if not row[column]:
            return f"the {column} is empty"
    try:
        is_there = (folder / row["path"]).is_file()
    except (OSError, ValueError):  # a path longer than any, or with a null character
        is_there = False
    if not is_there:
        return f"there is no file {row['path'][:LONGEST_SHOWN]}"
    if splits_are_given and row["split"] not in SPLITS:
        return f"unknown split {row['split'] or ''!r}; choose from {', '.join(SPLITS)}"
    return None


def spread_speakers(rows: Iterable[dict]) -> None:
    """Set each row's split, no speaker in two, the same for the same speakers; unknown speakers train."""
    rows = list(rows)
    speakers = sorted(
        {row["speaker"] for row in rows if row["speaker"]},
        key=lambda speaker: hashlib.sha256(speaker.encode()).digest(),
    )
    held_out = max(1, round(HELD_OUT_SHARE * len(speakers))) if len(speakers) >= len(SPLITS) else 0
    test, validation = speakers[:held_out], speakers[held_out : 2 * held_out]
    for row in rows:
        in_test, in_validation = row["speaker"] in test, row["speaker"] in validation
        row["split"] = "test" if in_test else "validation" if in_validation else "train"


def spread_emotions(rows: Iterable[dict]) -> None:
    """Set each row's split, of each emotion the same share, the same for the same ids."""
    members: dict[str, list[dict]] = {}
    for row in sorted(rows, key=lambda row: hashlib.sha256(row["id"].encode()).digest()):
        members.setdefault(row["emotion"], []).append(row)
    for group in members.values():
        held_out = max(1, round(HELD_OUT_SHARE * len(group))) if len(group) >= len(SPLITS) else 0
        for index, row in enumerate(group):
            row["split"] = "test" if index < held_out else "validation" if index < 2 * held_out else "train"


def read_utterances(manifest: Manifest, hypotheses: Hypotheses, skip_bad: bool) -> Iterator[Utterance]:
    """Yield the rows that have a recording; say at the end which rows are bad."""
    for line, row in list(manifest.rows.items()):
        try:
            audio, path, duration = read_recording(manifest.folder / row["path"])
        except AudioError as error:
            manifest.refuse(line, str(error))
            continue
        texts: dict[str, Any] = {column: row[column] or None for column in OPTIONAL}
        texts["hypothesis"] = row["hypothesis"]  # "": an ASR model found no words
        yield Utterance(
            id=row["id"],
            audio=audio,
            path=path,
            emotion=row["emotion"],
            duration=duration,
            split=row["split"],
            **texts | hypotheses.columns(row["id"], os.path.splitext(row["path"])[0]),
        )
    if manifest.problems and not skip_bad:
        raise DataError(f"{manifest.report()}\nNothing was written; mend the rows or leave them out by --skip_bad.")
    if manifest.problems:
        print(f"left out {manifest.report()}", file=sys.stderr)
    hypotheses.check()


def main() -> None:
    parser = argument_parser(__doc__, raw_data="the manifest, or its folder")
    parser.add_argument("--skip_bad", action="store_true", help="leave bad rows out instead of stopping")
    parser.add_argument(
        "--stratify", action="store_true", help="without speakers: hold out the same share of each emotion"
    )
    arguments = parser.parse_args()
    path = find_manifest(arguments.data_dir)
    manifest = read_manifest(path, arguments.stratify)
    emotions = sorted({row["emotion"] for row in manifest.rows.values()})
    statistics = write_dataset(
        read_utterances(manifest, read_hypotheses(arguments.hypotheses), arguments.skip_bad),
        emotions,
        arguments.output_dir,
        title=path.parent.resolve().name,
        description=f"Built from {path.name}." + (f" {STRATIFIED}" if arguments.stratify else ""),
        tokenizer=load_tokenizer(arguments.tokenizer),
        allow_missing_text=arguments.allow_missing_text,
    )
    print(summary(emotions, statistics))
    if arguments.stratify:
        print(STRATIFIED, file=sys.stderr)
    elif list(statistics) == ["train"]:
        print(UNSPLIT, file=sys.stderr)
