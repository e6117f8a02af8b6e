"""Transcribe a dataset or a folder of recordings by Whisper into a hypotheses file for the dataset builders.

python hub_scripts/transcribe.py --dataset data/iemocap --asr openai/whisper-medium.en --output heard.jsonl
accelerate launch hub_scripts/transcribe.py --dataset data/meld --asr openai/whisper-large-v2 --language en \
    --output heard.jsonl

These are the paper's recognizers. Several GPUs share the work under `accelerate launch`. Killed at any time and run
again, it goes on where it stopped, and what it writes is the same. A recording that cannot be read is named and left
out, and the exit code is then 1. `m4ser wer` scores what was heard.
"""

import argparse
import sys
from pathlib import Path

import datasets

from m4ser.asr import transcribe
from m4ser.data.builders.builder_cli import run
from m4ser.data.loading import load_dataset, merge_splits
from m4ser.data.schema import DataError

RECORDINGS = {".wav", ".flac", ".ogg", ".mp3"}


def main(arguments=None):
    """Transcribe what the command line says; exit code 1 if a recording could not be read."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", type=Path, required=True, help="a built dataset, or a folder of recordings")
    parser.add_argument("--asr", required=True, help="a Whisper model's id or folder")
    parser.add_argument("--revision", help="branch, tag or commit of the model on the Hub")
    parser.add_argument(
        "--language", help="spoken, as en; a multilingual model detects it in each recording if not told"
    )
    parser.add_argument("--output", type=Path, required=True, help="the JSON lines file to write")
    parser.add_argument("--batch_size", type=int, default=16, help="recordings recognized at once (16 by default)")
    parser.add_argument("--cache_dir", type=Path, help="where answers are kept (the Hugging Face cache by default)")
    options = parser.parse_args(arguments)

    rows = read_rows(options.dataset)
    unreadable, rejected = transcribe(
        rows,
        options.asr,
        options.output,
        revision=options.revision,
        language=options.language,
        batch_size=options.batch_size,
        cache_dir=options.cache_dir,
    )
    for reason, count in rejected.items():
        print(f"{count} texts were rejected: {reason}.", file=sys.stderr)
    for id, why in unreadable.items():
        print(f"{id}: {why}", file=sys.stderr)
    if unreadable:
        sys.exit(f"{len(unreadable)} of {len(rows)} recordings could not be read and have no hypothesis.")


def read_rows(folder):
    """The recordings in `folder`, of every split, as a `datasets.Dataset` with `id` and `audio` {bytes, path}."""
    if any(folder.rglob("*.parquet")):
        rows = merge_splits(load_dataset(folder), ["id", "audio"])
        return rows.cast_column("audio", datasets.Audio(decode=False))
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in RECORDINGS)
    if not paths:
        raise DataError(f"{folder} holds neither a dataset nor a recording ({', '.join(sorted(RECORDINGS))}).")
    if len({path.stem for path in paths}) < len(paths):
        raise DataError(f"Two recordings in {folder} have the same name; the names are the ids in the output.")
    audio = [{"bytes": None, "path": str(path)} for path in paths]
    return datasets.Dataset.from_dict({"id": [path.stem for path in paths], "audio": audio})


if __name__ == "__main__":
    run(main)
