"""Build RAVDESS (Livingstone and Russo 2018, doi 10.1371/journal.pone.0196391): 24 actors, 8 emotions.

python datasets_builders/ravdess.py --data_dir RAW --output_dir data/ravdess

RAW holds the release's speech recordings (Actor_01/03-01-01-01-01-01-01.wav and so on), or the same files
in another format in any folder of it. What a recording is stands in its name, seven numbers: modality,
channel, emotion, intensity, statement, repetition, actor. Where RAW/labels.csv is there, every file it
lists must be there too. Hypotheses come from RAW/hypotheses.jsonl where --hypotheses is not given. Actors 1
to 18 are for training, 19 and 20 for validation, 21 to 24 for testing.
"""

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import datasets

from m4ser.data.builders.builder_cli import (
    argument_parser,
    load_tokenizer,
    read_recording,
    read_text,
)
from m4ser.data.builders.card import summary
from m4ser.data.builders.hypotheses import Hypotheses, read_hypotheses
from m4ser.data.builders.writing import write_dataset
from m4ser.data.schema import DataError, Utterance

EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
STATEMENTS = ("Kids are talking by the door", "Dogs are sitting by the door")
LAST_TRAINING_ACTOR, LAST_VALIDATION_ACTOR = 18, 20
# Audio only (03), speech (01); the release also has video and song.
NAME = re.compile(r"03-01-(0[1-8])-0[12]-(0[12])-0[12]-(0[1-9]|1\d|2[0-4])\.(?:wav|flac)", re.IGNORECASE)


def find_recordings(data_dir: Path) -> list[Path]:
    """Find the speech recordings below `data_dir`, sorted by name; a copy in a second folder counts once."""
    found = {path.stem: path for path in sorted(data_dir.rglob("*")) if NAME.fullmatch(path.name)}
    if not found:
        raise DataError(f"No RAVDESS recording such as 03-01-01-01-01-01-01.wav below {data_dir}.")
    listing = data_dir / "labels.csv"
    if listing.is_file():
        listed = [Path(row["file"]) for row in csv.DictReader(read_text(listing).splitlines())]
        if missing := [file.name for file in listed if file.stem not in found]:
            raise DataError(f"{listing} lists {len(missing)} recordings that are not there: {missing[0]} ...")
    return [found[name] for name in sorted(found)]


def split_of(actor: int) -> str:
    if actor <= LAST_TRAINING_ACTOR:
        return "train"
    return "validation" if actor <= LAST_VALIDATION_ACTOR else "test"


def read_utterance(recording: Path, hypotheses: Hypotheses) -> Utterance:
    found = cast(re.Match, NAME.fullmatch(recording.name))  # as those that are listed
    emotion, statement, actor = map(int, found.groups())
    audio, path, duration = read_recording(recording)
    return Utterance(
        id=recording.stem,
        audio=audio,
        path=path,
        emotion=EMOTIONS[emotion - 1],
        duration=duration,
        split=split_of(actor),
        transcript=STATEMENTS[statement - 1],
        **hypotheses.columns(recording.stem),
        speaker=f"actor{actor:02d}",
        extra={"sex": "male" if actor % 2 else "female"},  # as the release numbers its actors
    )


def read_corpus(data_dir: Path, hypotheses_file: Path | None) -> Iterator[Utterance]:
    beside = data_dir / "hypotheses.jsonl"
    hypotheses = read_hypotheses(hypotheses_file or (beside if beside.is_file() else None))
    for recording in find_recordings(data_dir):
        yield read_utterance(recording, hypotheses)
    hypotheses.check()


def main() -> None:
    arguments = argument_parser(__doc__, raw_data="RAVDESS's speech recordings").parse_args()
    statistics = write_dataset(
        read_corpus(arguments.data_dir, arguments.hypotheses),
        EMOTIONS,
        arguments.output_dir,
        title="RAVDESS speech",
        description="Acted speech of 24 actors, two sentences, eight emotions (Livingstone and Russo 2018, "
        "doi 10.1371/journal.pone.0196391). No actor is in two splits.",
        license_id="cc-by-nc-sa-4.0",
        tokenizer=load_tokenizer(arguments.tokenizer),
        extra_columns={"sex": datasets.Value("string")},
        allow_missing_text=arguments.allow_missing_text,
    )
    print(summary(EMOTIONS, statistics))
