"""Transcribe a dataset or a folder of recordings into a hypotheses file for the dataset builders.

python hub_scripts/transcribe.py --dataset data/ravdess --asr openai/whisper-medium.en --output hypotheses.jsonl

Run again after an interruption, it goes on where it stopped. A recording that cannot be read is named and left out,
and the exit code is then 1.
"""

import argparse
import sys
from pathlib import Path

import datasets
from tqdm import tqdm

from m4ser.asr import transcribe, transcribed_ids
from m4ser.data.building import run
from m4ser.data.schema import DataError
from m4ser.model.audio_m4ser import AudioError, load_audio

RECORDINGS = {".wav", ".flac", ".ogg", ".mp3"}


def main(arguments=None):
    """Transcribe what the command line says; exit code 1 if a recording could not be read."""
    parser = argparse.ArgumentParser(description="Transcribe a dataset or a folder of recordings.")
    parser.add_argument("--dataset", type=Path, required=True, help="a built dataset, or a folder of recordings")
    parser.add_argument("--asr", required=True, help="a speech recognition model's id or folder")
    parser.add_argument("--output", type=Path, required=True, help="the JSON lines file to write or go on with")
    parser.add_argument("--batch_size", type=int, default=8, help="recordings recognised at once")
    options = parser.parse_args(arguments)

    rows = read_rows(options.dataset)
    done = transcribed_ids(options.output)
    rows = rows.select([index for index, id in enumerate(rows["id"]) if id not in done])
    refused = []
    transcribe(read_audio(rows, refused), options.asr, options.output, options.batch_size, total=len(rows))
    if refused:
        sys.exit(f"{len(refused)} of {len(rows)} recordings could not be read and have no hypothesis.")


def read_rows(folder):
    """The recordings in `folder`, of every split, as a `datasets.Dataset` with `id` and `audio` {bytes, path}."""
    if any(folder.rglob("*.parquet")):
        splits = datasets.load_dataset(str(folder))
        rows = datasets.concatenate_datasets([split.select_columns(["id", "audio"]) for split in splits.values()])
        return rows.cast_column("audio", datasets.Audio(decode=False))
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in RECORDINGS)
    if not paths:
        raise DataError(f"{folder} holds neither a dataset nor a recording ({', '.join(sorted(RECORDINGS))}).")
    if len({path.stem for path in paths}) < len(paths):
        raise DataError(f"Two recordings in {folder} have the same name; the names are the ids in the output.")
    audio = [{"bytes": None, "path": str(path)} for path in paths]
    return datasets.Dataset.from_dict({"id": [path.stem for path in paths], "audio": audio})


def read_audio(rows, refused):
    """Pairs of id and samples, one by one; a recording that cannot be read is reported and added to `refused`."""
    for row in rows:
        try:
            yield row["id"], load_audio(row["audio"])
        except AudioError as error:
            tqdm.write(f"{row['id']}: {error}", file=sys.stderr)
            refused.append(row["id"])


if __name__ == "__main__":
    run(main)
