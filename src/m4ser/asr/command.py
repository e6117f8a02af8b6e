"""Transcribe a dataset or a folder of recordings with Whisper into a hypotheses file for the dataset builders.

python hub_scripts/transcribe.py --dataset data/iemocap --asr openai/whisper-medium.en --output hypotheses.jsonl
accelerate launch hub_scripts/transcribe.py --dataset data/meld --asr openai/whisper-large-v2 --language en \
    --output hypotheses.jsonl

These are the paper's ASR models. Several GPUs share the work under `accelerate launch`. Killed at any time and run
again, it continues where it stopped, and writes the same file. A recording that cannot be loaded is named and left
out, and the exit code is then 1. `m4ser wer` scores the hypotheses. `m4ser transcribe` does the same.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import datasets

from m4ser.asr.transcription import transcribe
from m4ser.data.loading import load_dataset, merge_splits
from m4ser.data.schema import DataError
from m4ser.model.audio_m4ser import AUDIO_SUFFIXES
from m4ser.processes import disconnect


def main(arguments: Sequence[str] | None = None) -> None:
    """Transcribe by the command line's options; exit code 1 if a recording could not be loaded."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", type=Path, required=True, help="a built dataset, or a folder of recordings")
    parser.add_argument("--asr", required=True, help="a Whisper model's id or folder")
    parser.add_argument("--revision", help="branch, tag or commit of the model on the Hub")
    parser.add_argument(
        "--language", help="spoken, as en; a multilingual model detects it in each recording by default"
    )
    parser.add_argument("--output", type=Path, required=True, help="the JSON lines file to write")
    parser.add_argument("--batch_size", type=int, default=16, help="recordings transcribed at once (16 by default)")
    parser.add_argument("--cache_dir", type=Path, help="of the transcriptions (the Hugging Face cache by default)")
    options = parser.parse_args(arguments)

    rows = load_rows(options.dataset)
    unreadable, rejected = transcribe(
        rows,
        options.asr,
        options.output,
        revision=options.revision,
        language=options.language,
        batch_size=options.batch_size,
        cache_dir=options.cache_dir,
    )
    disconnect()
    for reason, count in rejected.items():
        print(f"{count} texts were rejected: {reason}.", file=sys.stderr)
    for id, why in unreadable.items():
        print(f"{id}: {why}", file=sys.stderr)
    if unreadable:
        sys.exit(f"{len(unreadable)} of {len(rows)} recordings could not be loaded and have no hypothesis.")


def load_rows(folder: Path) -> datasets.Dataset:
    """Return the recordings in `folder`, of every split, with `id` and `audio` {bytes, path}.

    The id of a recording that is no dataset's is its path in `folder` without the extension.

    Raises:
        DataError: there is none, or two in a folder have the same name.
    """
    if any(folder.rglob("*.parquet")):
        rows = merge_splits(load_dataset(folder), ["id", "audio"])
        return rows.cast_column("audio", datasets.Audio(decode=False))
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES)
    if not paths:
        raise DataError(f"{folder} holds neither a dataset nor a recording ({', '.join(sorted(AUDIO_SUFFIXES))}).")
    ids = [path.relative_to(folder).with_suffix("").as_posix() for path in paths]
    if len(set(ids)) < len(ids):
        raise DataError(f"Two recordings in {folder} have the same name; the names are the ids in the output.")
    audio = [{"bytes": None, "path": str(path)} for path in paths]
    return datasets.Dataset.from_dict({"id": ids, "audio": audio})
