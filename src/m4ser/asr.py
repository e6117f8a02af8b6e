"""Transcribe recordings with Whisper: batched, written down as it goes, resumed where it stopped."""

import json
import math
from itertools import islice
from pathlib import Path

from tqdm import tqdm
from transformers import pipeline

from m4ser.data.schema import DataError

# Recordings are sorted by length within this many batches, so that a corpus need not fit into memory.
BATCHES_SORTED_TOGETHER = 8
LINE_START = b'{"id": '


def transcribe(items, asr, output_file, batch_size=8, total=None):
    """Append one JSON line {"id", "hypothesis"} per recording to `output_file`, skipping the ids already in it.

    Each batch is on the disk before the next begins. What a killed run left is kept, but for a cut last line,
    which is dropped and done again.

    Args:
        items: pairs of an id and its audio, float32 mono samples at 16 kHz, shape (samples,).
        asr: a `transformers.AutomaticSpeechRecognitionPipeline`, or the id or folder of a model for one.
        output_file: a JSON lines file; it and its folder are made where they do not exist.
        batch_size: recordings recognised at once; those longer than Whisper's 30 s go one by one.
        total: how many `items` there are, for the progress bar.

    Raises:
        DataError: `output_file` holds something else, or there is no such recogniser.
    """
    done = transcribed_ids(output_file)
    asr = _load_pipeline(asr) if isinstance(asr, (str, Path)) else asr
    window = getattr(asr.feature_extractor, "n_samples", math.inf)
    output_file = Path(output_file)
    output_file.parent.mkdir(parents=True, exist_ok=True)
    remaining = ((id, audio) for id, audio in items if id not in done)
    with open(output_file, "a", encoding="utf-8") as file, tqdm(total=total, unit="recording") as progress:
        while group := list(islice(remaining, BATCHES_SORTED_TOGETHER * batch_size)):
            for batch in _batches(group, batch_size, window):
                for id, hypothesis in _recognise(batch, asr, window):
                    file.write(json.dumps({"id": id, "hypothesis": hypothesis}, ensure_ascii=False) + "\n")
                file.flush()
                progress.update(len(batch))


def transcribed_ids(output_file):
    """The ids in a file that `transcribe` wrote. A last line that a killed run left cut is dropped from it.

    Raises:
        DataError: the file holds something else, and is left as it is.
    """
    output_file = Path(output_file)
    if not output_file.exists():
        return set()
    *lines, cut = output_file.read_bytes().split(b"\n")
    try:
        ids = {json.loads(line)["id"] for line in lines if line.strip()}
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{output_file} holds other things than hypotheses; choose another file.") from error
    if not LINE_START.startswith(cut[: len(LINE_START)]):
        raise DataError(f"{output_file} holds other things than hypotheses; choose another file.")
    if cut:
        with open(output_file, "rb+") as file:
            file.truncate(sum(len(line) + 1 for line in lines))
    return ids


def _load_pipeline(name):
    try:
        return pipeline("automatic-speech-recognition", model=str(name))
    except (OSError, ValueError) as error:
        raise DataError(f"No speech recogniser at {str(name)!r}: {error}") from error


def _batches(group, batch_size, window):
    """Batches of similar lengths; each recording longer than the recogniser's window (samples) on its own."""
    group = sorted(group, key=lambda item: len(item[1]))
    short = [item for item in group if len(item[1]) <= window]
    for start in range(0, len(short), batch_size):
        yield short[start : start + batch_size]
    for item in group[len(short) :]:
        yield [item]


def _recognise(batch, asr, window):
    ids, recordings = zip(*batch, strict=True)
    # Whisper walks through more than one window by the timestamps it sets, and refuses to without them.
    timestamps = {"return_timestamps": True} if len(recordings[-1]) > window else {}
    outputs = asr(list(recordings), batch_size=len(batch), **timestamps)
    return [(id, output["text"].strip()) for id, output in zip(ids, outputs, strict=True)]
