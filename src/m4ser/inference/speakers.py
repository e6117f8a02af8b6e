"""Who speaks when, as diarization tools write it (RTTM), and a long recording cut by it.

A line of RTTM is `SPEAKER FILE CHANNEL START DURATION <NA> <NA> NAME <NA> <NA>`, in seconds; other lines are
passed over.
https://catalog.ldc.upenn.edu/docs/LDC2004T12/RTTM-format-v13.pdf
"""

import math
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from m4ser.data.schema import DataError
from m4ser.model.audio_m4ser import AudioError, stream_audio
from m4ser.model.pipeline_m4ser import M4SERPipeline

KIND = "SPEAKER"
FEWEST_FIELDS = 8


@dataclass(frozen=True, order=True)
class Turn:
    """A span in which one speaker speaks, from `start` to `end` in seconds."""

    start: float
    end: float
    speaker: str


def read_rttm(path: str | Path) -> dict[str, list[Turn]]:
    """Read the turns of each recording, in order, by its name without folders and extension.

    Raises:
        DataError: no such file, or a line of it that is not RTTM.
    """
    turns: dict[str, list[Turn]] = {}
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as RTTM: {error}.") from error
    for number, line in enumerate(lines, start=1):
        fields = line.split()
        if not fields or fields[0] != KIND:
            continue
        try:
            start, duration = float(fields[3]), float(fields[4])
            name, speaker = fields[1], fields[FEWEST_FIELDS - 1]
        except (IndexError, ValueError) as error:
            raise DataError(
                f"{path}, line {number}: no RTTM, SPEAKER FILE CHANNEL START DURATION ...: {line}"
            ) from error
        if not (math.isfinite(start) and start >= 0 and math.isfinite(duration) and duration > 0):
            raise DataError(f"{path}, line {number}: a turn starts at 0 s or later and lasts longer than 0 s: {line}")
        turns.setdefault(name, []).append(Turn(start, start + duration, speaker))
    if not turns:
        raise DataError(f"{path} has no line SPEAKER ..., as diarization tools write them.")
    return {name: sorted(found) for name, found in turns.items()}


def turns_of(recording: str, turns: Mapping[str, Sequence[Turn]]) -> Sequence[Turn]:
    """Return the turns of a recording; where there is but one in the file, under any name.

    Raises:
        DataError: there are none of this recording.
    """
    stem = Path(recording).stem
    if stem in turns:
        return turns[stem]
    if len(turns) == 1:
        return next(iter(turns.values()))
    raise DataError(f"The RTTM file has no turns of {stem!r}; it has those of {', '.join(sorted(turns)[:5])}.")


def predict_turns(
    classify: M4SERPipeline, source: dict[str, Any], turns: Sequence[Turn], window: float, **options: Any
) -> Iterator[dict[str, Any]]:
    """Predict each turn of a recording of any length; a turn that is longer than the window gives several entries.

    Args:
        source: the recording, as the pipeline takes it. options: of the pipeline.

    Yields:
        Entries as of [`M4SERPipeline.timeline`], with "speaker".

    Raises:
        AudioError: a recording that cannot be used, when the damage is reached.
    """
    rate = classify.processor.feature_extractor.sampling_rate
    cut: deque[Turn] = deque()

    def pieces() -> Iterator[dict[str, Any]]:
        for turn, samples in cut_turns(stream_audio(source, target_sampling_rate=rate), turns, rate, window):
            cut.append(turn)
            yield {"raw": samples, "sampling_rate": rate}

    for output in classify(pieces(), return_transcript=True, **options):
        if "error" in output:
            raise AudioError(output["error"])
        turn, text = cut.popleft(), output.pop("transcript")
        yield {"start": turn.start, "end": turn.end, "speaker": turn.speaker, "text": text, **output}


def cut_turns(
    blocks: Iterable[np.ndarray], turns: Sequence[Turn], rate: int, window: float
) -> Iterator[tuple[Turn, np.ndarray]]:
    """Cut a stream of samples by its turns; no more of it is held than a block and what a turn still needs.

    Args:
        blocks: arrays (samples,) that follow each other. turns: in order; they may overlap.
        rate: in Hz. window: the most seconds of a piece; a longer turn gives several.

    Yields:
        A turn, or the part of it that a piece is, and its samples; nothing of what is behind the recording's end.
    """
    held, first = np.zeros(0, np.float32), 0
    stream = iter(blocks)
    for piece in sorted(piece for turn in turns for piece in _pieces(turn, window)):
        start, stop = round(piece.start * rate), round(piece.end * rate)
        while True:
            passed = min(len(held), max(0, start - first))  # no later piece needs what is before this one
            held, first = held[passed:], first + passed
            block = next(stream, None) if first + len(held) < stop else None
            if block is None:
                break
            held = np.concatenate([held, block])
        samples = held[max(0, start - first) : stop - first]
        if len(samples):
            yield Turn(piece.start, piece.start + len(samples) / rate, piece.speaker), samples


def _pieces(turn: Turn, window: float) -> Iterator[Turn]:
    count = math.ceil((turn.end - turn.start) / window - 1e-9)
    for index in range(count):
        start = turn.start + index * window
        yield Turn(start, min(turn.end, start + window), turn.speaker)
