"""From recordings to a hypotheses file: loaded, cut, batched, transcribed, guarded, written.

Recordings that together last about an hour are batched by the lengths that their headers name; each batch is decoded
and transcribed by one process, which holds no other in memory.

The file that is written does not depend on how often the run was killed, nor on the number of its processes. Batches
are made before the cache is looked up, because a log-probability's last digits, and with them now and then a word,
depend on the rest of the batch. A batch that was cut off is computed again as it was.
"""

import hashlib
import io
import json
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import soundfile
from accelerate import PartialState
from accelerate.utils import gather_object
from huggingface_hub import cached_assets_path

from m4ser.asr.cache import TranscriptCache
from m4ser.asr.guard import FRAME, loudest_level, mean_log_probability, reason_to_reject
from m4ser.asr.whisper import DECIMALS, Whisper
from m4ser.data.builders.builder_cli import json_object, numbered_lines
from m4ser.data.schema import SAMPLING_RATE, DataError
from m4ser.files import whole_file
from m4ser.model.audio_m4ser import AudioError, load_audio
from m4ser.processes import connect
from m4ser.progress import track
from m4ser.sources import refuse_missing

logger = logging.getLogger(__name__)

# How long one process may wait for the others: their shares are the same number of batches, not of hours.
PATIENCE = timedelta(days=7)
PLANNED_SECONDS = 3600  # of audio, whose batches are made together; and the most of a batch, 230 MB


@dataclass(frozen=True)
class Piece:
    """Samples `start` to `stop` of recording `row`, at most one window of Whisper's.

    `key` is a hash of the samples, `level` their `loudest_level`.
    """

    row: int
    id: str
    start: int
    stop: int
    key: str
    level: float

    @property
    def seconds(self) -> float:
        return (self.stop - self.start) / SAMPLING_RATE


def transcribe(
    recordings: Sequence[Mapping[str, Any]] | datasets.Dataset,
    asr: str | Path,
    output_file: str | Path,
    *,
    revision: str | None = None,
    language: str | None = None,
    batch_size: int = 16,
    cache_dir: str | Path | None = None,
) -> tuple[dict[str, str], Counter[str]]:
    """Write `output_file`, a JSON line for each recording in their order; what the cache holds is not computed again.

    A line has `id`; `hypothesis`; `word_confidences`, from 0 to 1 for each of its words, which whitespace separates;
    `asr_model_id`, as `asr` was given; `mean_log_probability`, `no_speech_probability`, `token_ids` and
    `token_log_probabilities` of all that was transcribed; and, where the guard (`m4ser.asr.guard`) has emptied the
    hypothesis or a part of it, `rejected`: a list of {"reason", "text"}. A recording longer than Whisper's window is
    cut where it is quiet; its numbers are those of its pieces, `no_speech_probability` the highest of them.

    Args:
        recordings: a sequence of {"id", "audio"}, the audio in any form that `load_audio` takes.
        asr, revision, language: as [`Whisper`] takes them.
        output_file: written at the end and at once; it and its folder are made where they do not exist.
        batch_size: recordings transcribed at once by each process.
        cache_dir: where transcriptions are kept; the Hugging Face cache by default. Of several machines the same.

    Returns:
        The recordings that cannot be loaded, {id: why}, and how many texts were rejected, {reason: number}; of several
        processes the main one returns them, the others return none.

    Raises:
        ValueError: no such ASR model. DataError: no recording that can be loaded, or `output_file` holds something
            else.
    """
    _refuse_other_file(output_file)
    refuse_missing(asr, "ASR model")
    state = connect(timeout=PATIENCE)
    whisper = Whisper(asr, state.device, revision, language)
    cache_dir = cache_dir or cached_assets_path("m4ser", "transcripts")
    cache = TranscriptCache(cache_dir, whisper.settings, state.process_index)
    work = Work(whisper, cache, cache.keys(), batch_size, state)
    logger.info("%d pieces in the cache %s", len(work.done), cache.folder)
    state.wait_for_everyone()  # all have loaded the cache before one writes to it
    pieces, unreadable = transcribe_all(recordings, work)
    state.wait_for_everyone()
    if not pieces:
        raise DataError(f"There is no recording to transcribe. {next(iter(unreadable.values()), '')}".strip())
    if not state.is_main_process:
        return {}, Counter()
    transcriptions = cache.load({piece.key for piece in pieces})
    return unreadable, write_transcripts(pieces, transcriptions, Path(output_file), whisper)


@dataclass
class Work:
    """An ASR model and its cache, whose keys are `done`, in one of several processes."""

    whisper: Whisper
    cache: TranscriptCache
    done: set[str]
    batch_size: int
    state: PartialState

    def takes(self, batch: int) -> bool:
        """Tell whether a batch, by its number, is this process's."""
        return batch % self.state.num_processes == self.state.process_index


@dataclass
class Loaded:
    """Recordings in memory: the pieces of those that can be loaded, samples by a piece's key, {row: why} of others."""

    pieces: list[Piece] = field(default_factory=list)
    samples: dict[str, np.ndarray] = field(default_factory=dict)
    unreadable: dict[int, str] = field(default_factory=dict)


def transcribe_all(
    recordings: Sequence[Mapping[str, Any]] | datasets.Dataset, work: Work
) -> tuple[list[Piece], dict[str, str]]:
    """Transcribe what is not in the cache; return all pieces in order, and {id: why} of recordings not loaded."""
    pieces: list[Piece] = []
    unreadable: dict[int, tuple[str, str]] = {}
    quiet = not work.state.is_main_process
    with track(len(recordings), "recording", "Transcribing", disable=quiet) as progress:
        for number, rows in enumerate(plan_batches(recordings, work.batch_size)):
            if work.takes(number):
                loaded = load_recordings(recordings, rows, work.whisper.window)
                for batch in make_batches(loaded.pieces, work.batch_size):
                    transcribe_batch(batch, loaded.samples, work)
                pieces += loaded.pieces
                unreadable |= {row: (recordings[row]["id"], loaded.unreadable[row]) for row in loaded.unreadable}
            progress.update(len(rows))  # those of other processes, too, which are about as far
    pieces = sorted(gather_object(pieces), key=lambda piece: (piece.row, piece.start))
    return pieces, dict(reason for _, reason in sorted(gather_object(list(unreadable.items()))))


def transcribe_batch(batch: Sequence[Piece], samples: Mapping[str, np.ndarray], work: Work) -> None:
    """Transcribe a batch, and add it to the cache, unless all of it is there."""
    if all(piece.key in work.done for piece in batch):
        return
    transcribed = zip(batch, work.whisper.transcribe_batch([samples[piece.key] for piece in batch]), strict=True)
    work.cache.append({piece.key: transcription for piece, transcription in transcribed if piece.key not in work.done})
    work.done.update(piece.key for piece in batch)
    logger.debug("Transcribed %d pieces of at most %.1f s", len(batch), max(piece.seconds for piece in batch))


def plan_batches(
    recordings: Sequence[Mapping[str, Any]] | datasets.Dataset,
    batch_size: int,
    planned_seconds: float = PLANNED_SECONDS,
) -> Iterator[list[int]]:
    """Yield the rows of recordings of like length, by their headers, the longest first; nothing is decoded.

    A batch has at most `batch_size` of them, and of long ones fewer: about `planned_seconds` together.
    """
    planned: dict[int, float] = {}
    for row in range(len(recordings)):
        planned[row] = announced_seconds(recordings[row]["audio"])
        if sum(planned.values()) >= planned_seconds:
            yield from _batches(planned, batch_size, planned_seconds)
            planned = {}
    yield from _batches(planned, batch_size, planned_seconds)


def _batches(planned: Mapping[int, float], batch_size: int, most_seconds: float) -> Iterator[list[int]]:
    batch: list[int] = []
    for row in sorted(planned, key=lambda row: (-planned[row], row)):
        if batch and (len(batch) == batch_size or sum(planned[one] for one in batch) >= most_seconds):
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def announced_seconds(audio: Any) -> float:
    """Return how long a recording is, as its header has it; 0 where that cannot be read."""
    try:
        if audio.get("array") is not None:
            return len(audio["array"]) / audio["sampling_rate"]
        source = audio["path"] if audio.get("bytes") is None else io.BytesIO(audio["bytes"])
        return float(soundfile.info(source).duration)
    except (AttributeError, KeyError, TypeError, ZeroDivisionError, OSError, soundfile.SoundFileError):
        return 0.0  # whoever loads it says what is wrong


def load_recordings(
    recordings: Sequence[Mapping[str, Any]] | datasets.Dataset, rows: Iterable[int], window: int
) -> Loaded:
    """Load recordings, and cut them into pieces.

    Args:
        rows: which ones. window: the most samples of a piece.
    """
    loaded = Loaded()
    for row in rows:
        recording = recordings[row]
        try:
            samples = load_audio(recording["audio"])
        except AudioError as error:
            loaded.unreadable[row] = str(error)
            continue
        for start, stop in pairwise(cut_points(samples, window)):
            piece = samples[start:stop]
            key = hashlib.sha256(piece.tobytes()).hexdigest()
            loaded.pieces.append(Piece(row, recording["id"], start, stop, key, loudest_level(piece)))
            loaded.samples[key] = piece
    return loaded


def cut_points(samples: np.ndarray, window: int) -> list[int]:
    """Return where to cut, from 0 to the end: in the quietest tenth of a second of the last third of each window."""
    points = [0]
    while len(samples) - points[-1] > window:
        start, stop = points[-1] + 2 * window // 3, points[-1] + window
        frames = samples[start:stop][: (stop - start) // FRAME * FRAME].reshape(-1, FRAME)
        points.append(start + int(np.square(frames).sum(axis=1).argmin()) * FRAME + FRAME // 2)
    return [*points, len(samples)]


def make_batches(pieces: Iterable[Piece], batch_size: int) -> list[list[Piece]]:
    """Make batches of similar lengths, the longest first: what does not fit into the memory fails at once."""
    different = {piece.key: piece for piece in pieces}.values()
    ordered = sorted(different, key=lambda piece: (piece.start - piece.stop, piece.key))
    return [ordered[start : start + batch_size] for start in range(0, len(ordered), batch_size)]


def write_transcripts(
    pieces: Iterable[Piece], transcriptions: Mapping[str, Mapping[str, Any]], output_file: Path, whisper: Whisper
) -> Counter[str]:
    """Write a line for each recording, all at once; return how many texts were rejected, by reason."""
    output_file.parent.mkdir(parents=True, exist_ok=True)
    rejected: Counter[str] = Counter()
    with whole_file(output_file) as unfinished, unfinished.open("w", encoding="utf-8") as file:
        for _, group in groupby(pieces, key=lambda piece: piece.row):
            row = transcript(list(group), transcriptions, whisper)
            rejected.update(item["reason"] for item in row.get("rejected", ()))
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    return rejected


def transcript(
    pieces: Sequence[Piece], transcriptions: Mapping[str, Mapping[str, Any]], whisper: Whisper
) -> dict[str, Any]:
    """Make the line of one recording, from its pieces and the transcriptions by key that `whisper` made."""
    parts = [transcriptions[piece.key] for piece in pieces]
    reasons = [reason_to_reject(part, piece.level, piece.seconds) for piece, part in zip(pieces, parts, strict=True)]
    kept = [part for part, reason in zip(parts, reasons, strict=True) if not reason]
    log_probabilities = [value for part in parts for value in part["token_log_probabilities"]]
    row = {
        "id": pieces[0].id,
        "hypothesis": " ".join(part["text"] for part in kept if part["text"]),
        "word_confidences": [confidence for part in kept for confidence in whisper.word_confidences(part)],
        "asr_model_id": whisper.name,
        "mean_log_probability": round(mean_log_probability(log_probabilities), DECIMALS),
        "no_speech_probability": max(part["no_speech_probability"] for part in parts),
        "token_ids": [token for part in parts for token in part["token_ids"]],
        "token_log_probabilities": log_probabilities,
    }
    rejected = [
        {"reason": reason, "text": part["text"]} for part, reason in zip(parts, reasons, strict=True) if reason
    ]
    return row | ({"rejected": rejected} if rejected else {})


def _refuse_other_file(output_file: str | Path) -> None:
    """Refuse to write over a file that `transcribe` did not write."""
    if not Path(output_file).exists():
        return
    try:
        ours = all("token_log_probabilities" in json_object(line) for _, line in numbered_lines(Path(output_file)))
    except DataError:
        ours = False
    if not ours:
        raise DataError(f"{output_file} holds other things than transcripts of this command; choose another file.")
