"""A folder to start from: a manifest of recordings, a config of training, and a README of the next steps."""

import csv
import io
import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from m4ser.data.schema import DataError
from m4ser.files import write_whole
from m4ser.inference.recordings import files_in
from m4ser.model.audio_m4ser import AUDIO_SUFFIXES
from m4ser.training.config_files import config_file

MANIFEST, CONFIG, README = "manifest.csv", "config.yaml", "README.md"
COLUMNS = ("path", "emotion", "speaker", "transcript")
# What names of files and folders call an emotion; each is taken as it stands, in lower case.
EMOTIONS = frozenset(
    {"angry", "anger", "bored", "boredom", "calm", "contempt", "disgust", "disgusted", "excited", "excitement"}
    | {"fear", "fearful", "frustrated", "frustration", "happiness", "happy", "joy", "joyful", "neutral", "sad"}
    | {"sadness", "surprise", "surprised"}
)
CONFIG_HEAD = """\
# Training on your recordings from scratch, on a CPU; `m4ser train --help` has every setting.
dataset: data
output_dir: runs/first
"""
README_TEXT = """\
# Emotions in {recordings} recordings

Each command below runs in this folder; `m4ser COMMAND --help` has the other options.

```
cd {folder}
```

## 1. Label the recordings

`{manifest}` has a row for each recording. {guessed}

- `emotion`: at least two emotions, named as you like. Delete a row to leave its recording out.
- `speaker`: a name or number of who speaks. With three speakers or more, none of them is in two splits. Where the
  speakers are not known, leave the column empty and add `--stratify` to each `m4ser build` below: each emotion is then
  split alike, and scores may be higher than on new speakers.
- `transcript`: what is said, if somebody has written it down; may be empty.

## 2. Build the dataset

```
m4ser build manifest --data_dir {manifest} --output_dir data
```

## 3. Transcribe

```
m4ser transcribe --dataset data --asr openai/whisper-small --output hypotheses.jsonl
m4ser build manifest --data_dir {manifest} --output_dir data --hypotheses hypotheses.jsonl
```

`--language pl` says what is spoken, where you know it. To train on the voice alone, leave this step out.

## 4. Train

```
m4ser train {config}
```

Without step 3: `m4ser train {config} ablations/speech_only`. From pretrained encoders, on a GPU:
`m4ser train {config} --speech_encoder facebook/hubert-base-ls960 --text_encoder google-bert/bert-base-uncased
--learning_rate 1e-5 --output_dir runs/pretrained`. A training that was interrupted goes on with `--resume true`.

## 5. Read the results

The report needs `pip install 'm4ser[report]'`; open `report/report.html`.

```
m4ser evaluate runs/first --dataset data
m4ser report runs --output_dir report
m4ser calibrate runs/first --dataset data
```

## 6. Use the model

```
m4ser predict {first} --model runs/first --asr openai/whisper-small
m4ser predict {manifest} --model runs/first --hypotheses hypotheses.jsonl --output scores
```
"""


def write_starter(folder: Path, recordings: Path | None = None) -> str:
    """Write manifest, config and README for the recordings in a folder and below; return what was written, in words.

    Args:
        recordings: their folder; `folder` itself by default.

    Raises:
        DataError: there are no recordings, or one of the files is there already; nothing is written then.
    """
    recordings = folder if recordings is None else recordings
    if not recordings.is_dir():
        raise DataError(f"There is no folder {recordings}: name that of your recordings with --recordings.")
    files = [Path(file) for file in files_in(recordings)]
    if not files:
        known = ", ".join(sorted(AUDIO_SUFFIXES))
        raise DataError(f"There is no recording ({known}) in {recordings}: name their folder with --recordings.")
    if there := [name for name in (MANIFEST, CONFIG, README) if os.path.lexists(folder / name)]:
        raise DataError(f"{folder} has a {there[0]} already, and nothing was written: name another folder.")
    folder.mkdir(parents=True, exist_ok=True)
    paths = [_from_folder(file, folder) for file in files]
    emotions = [guess_emotion(file.relative_to(recordings)) for file in files]
    write_whole(folder / MANIFEST, _manifest(paths, emotions))
    write_whole(folder / CONFIG, CONFIG_HEAD + _settings())
    guessed = describe_guesses(emotions)
    text = README_TEXT.format(
        recordings=len(files),
        folder=shlex.quote(str(folder.resolve())),
        manifest=MANIFEST,
        config=CONFIG,
        guessed=guessed,
        first=shlex.quote(paths[0]),
    )
    write_whole(folder / README, text)
    return f"{folder} has the {MANIFEST} of {len(files)} recordings. {guessed}\nNext: the steps in {folder / README}."


def guess_emotion(path: Path) -> str:
    """Return the emotion that a recording's folders name, from the innermost outwards, or else its own name, or ""."""
    for name in (*map(str, path.parent.parts[::-1]), path.stem):
        found = set(re.split(r"[\W_\d]+", name.lower())) & EMOTIONS
        if len(found) == 1:
            return found.pop()
    return ""


def describe_guesses(emotions: Sequence[str]) -> str:
    """Return what is to do with the column emotion, in a sentence or two."""
    guessed = sum(map(bool, emotions))
    if not guessed:
        return "Fill in its column emotion."
    rest = "" if guessed == len(emotions) else f" and fill in the other {len(emotions) - guessed}"
    return f"The emotions of {guessed} are guessed from names of folders and files: check them{rest}."


def _from_folder(file: Path, folder: Path) -> str:
    """Return a recording's path from the starter folder, or the whole one where it is elsewhere."""
    file, folder = file.resolve(), folder.resolve()
    return (file.relative_to(folder) if file.is_relative_to(folder) else file).as_posix()


def _manifest(paths: Sequence[str], emotions: Sequence[str]) -> str:
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows((path, emotion, "", "") for path, emotion in zip(paths, emotions, strict=True))
    return table.getvalue()


def _settings() -> str:
    """Return the settings of configs/recordings.yaml without the comment at their head."""
    lines = config_file("recordings").read_text(encoding="utf-8").splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith("#"))
