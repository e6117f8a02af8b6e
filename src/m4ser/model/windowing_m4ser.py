"""Recordings of any length: cut into windows while they are decoded, and the windows' scores joined to a timeline."""

import logging
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, pairwise
from types import GeneratorType
from typing import Any

import numpy as np
from torch.utils.data import Dataset
from transformers import AudioClassificationPipeline

from .asr_m4ser import ASRTranscriber, OwnTranscriber, Segment
from .audio_m4ser import AudioError, AudioSource, stream_audio
from .confidence_m4ser import check_word_confidences
from .whisper_encoder_m4ser import longest_seconds

logger = logging.getLogger(__name__)

# The most that is predicted from at once. Attention takes memory by the square of the length: at two minutes eager
# attention in HuBERT base takes 1.7 GB a layer.
MAX_SECONDS = 120
MIN_SECONDS = 0.1


class WindowedClassificationPipeline(AudioClassificationPipeline):
    """The part of [`M4SERPipeline`] that predicts a timeline, window by window.

    Args:
        allow_addresses, max_seconds: as of [`M4SERPipeline`].

    Attributes:
        longest_seconds: that are predicted from at once; less than `MAX_SECONDS` where the speech encoder takes less.
    """

    processor: Any
    _rate: int
    _transcriber: ASRTranscriber | OwnTranscriber

    def __init__(self, *args: Any, allow_addresses: bool = True, max_seconds: float = math.inf, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._allow_addresses, self._max_seconds = allow_addresses, max_seconds
        config: Any = self.model.config
        self.longest_seconds = min(MAX_SECONDS, longest_seconds(config))

    def timeline(
        self,
        source: Any,
        window: float | str,
        hop: float | None = None,
        batch_size: int | None = None,
        **kwargs: Any,
    ) -> Iterator[dict[str, Any]]:
        """Predict the emotions over time in a recording of any length, which is never held as a whole.

        Args:
            source: one recording, as the pipeline takes it; its text, where given, must be empty.
            window, hop, kwargs: as of a call.
            batch_size (`int`, *optional*): windows at once, for the ASR model too; 1 by default.

        Yields:
            {"start", "end" (seconds), "scores", "text"}, without overlap. Where windows overlap, an entry begins with
            a window and ends where the next begins; its scores are the mean over the windows that reach into it, and
            its text (and "marked", "correction", "embeddings") is that of the window that begins with it.

        Raises:
            AudioError: a recording that cannot be used, when the damage is reached.
        """
        ranking = self._ranking(kwargs)
        for entry in self._window_scores(source, window, hop, batch_size=batch_size, **kwargs):
            yield {**entry, **rank(entry["scores"], **ranking)}

    def _predict_windows(self, inputs: Any, **kwargs: Any) -> Any:
        """Predict the timeline of each recording, and the mean over it."""
        if isinstance(inputs, (GeneratorType, Dataset)):
            return (self._predict_windows([item], **kwargs)[0] for item in iter(inputs))
        if isinstance(inputs, list):
            return [self._predict_windows_or_error(item, **kwargs) for item in inputs]
        ranking = self._ranking(kwargs)
        entries = list(self.timeline(inputs, **{**kwargs, **ranking, "top_k": None}))
        output = {**aggregate(entries, ranking["abstain_below"]), "timeline": entries}
        for part in (output, *entries):
            part["scores"] = part["scores"][: ranking["top_k"]]
        return output

    def _predict_windows_or_error(self, source: Any, **kwargs: Any) -> dict[str, Any]:
        try:
            return self._predict_windows(source, **kwargs)
        except AudioError as error:
            return {"error": str(error)}

    def _ranking(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        """Take `top_k` and `abstain_below` out of a call's options; where it has none, as the pipeline was built."""
        given = {name: kwargs.pop(name) for name in ("top_k", "abstain_below") if name in kwargs}
        options = {**self._postprocess_params, **self._sanitize_parameters(**given)[2]}
        return {name: options.get(name) for name in ("top_k", "abstain_below")}

    def _window_scores(
        self, source: Any, window: float | str, hop: float | None = None, **kwargs: Any
    ) -> Iterator[dict[str, Any]]:
        """Yield the entries of [`timeline`] with scores that are {label: score} of all emotions."""
        check_window(window, hop, self.longest_seconds)
        logger.debug("Predicting in windows: window %s, hop %s, batch size %s", window, hop, kwargs.get("batch_size"))
        predict: Callable[..., Any] = self  # of a generator it makes one, which its type does not say
        times: deque[tuple[float, float]] = deque()

        def pieces() -> Iterator[dict[str, Any]]:
            for start, waveform, text in self._cut(source, window, hop):
                times.append((start / self._rate, (start + len(waveform)) / self._rate))
                yield {"raw": waveform, "sampling_rate": self._rate, "text": text}

        def predictions() -> Iterator[dict[str, Any]]:
            for output in predict(pieces(), **{**kwargs, "top_k": None, "return_transcript": True}):
                if "error" in output:
                    raise AudioError(output["error"])
                start, end = times.popleft()
                scores = {item["label"]: item["score"] for item in output.pop("scores")}
                output.pop("label", None)  # of this window; the entry's scores may be of several
                for word in output.get("words", ()):
                    word |= {"start": start + word["start"], "end": start + word["end"]}
                yield {"start": start, "end": end, "scores": scores, "text": output.pop("transcript"), **output}

        return without_overlap(predictions())

    def _cut(
        self, source: Any, window: float | str, hop: float | None
    ) -> Iterator[tuple[int, np.ndarray, str | None]]:
        """Yield (start in samples, waveform, text or None) of the pieces of one recording."""
        audio, text, _, name = split_source(source)
        if text:
            raise AudioError(f"{name}: one text does not say what was said when; leave it out, or give an empty one.")
        blocks = stream_audio(
            audio, self._rate, self._rate, max_seconds=self._max_seconds, allow_addresses=self._allow_addresses
        )
        if isinstance(window, str):
            if not self._transcriber:
                raise ValueError('window="segments" needs an ASR model; give asr=, or window= in seconds.')
            self._transcriber.check_segments()
            longest = int(min(self._transcriber.window, self.longest_seconds * self._rate))
            yield from cut_segments(blocks, self._transcriber.segments, longest)
            return
        hop = window if hop is None else hop
        for start, waveform in cut_windows(blocks, round(window * self._rate), round(hop * self._rate)):
            yield start, waveform, text


def split_source(source: Any) -> tuple[AudioSource, Any, Any, str]:
    """Split one input into the recording, its text (None where it is to be transcribed), the confidences in its words,
    and its name in errors.
    """
    if not isinstance(source, dict):
        return source, None, None, "the recording"
    row = dict(source)
    hypothesis, confidences = row.pop("hypothesis", None), row.pop("word_confidences", None)
    text = row.pop("text", hypothesis)
    text = text.get("text") if isinstance(text, dict) else text
    return row.get("audio", row), text, confidences, row.get("path") or "the recording"


def check_text(text: Any, word_confidences: Any, name: str) -> None:
    """Refuse a text that is no string, and confidences that are not of its words; None of both is fine.

    Raises:
        AudioError: with the name of the recording.
    """
    if not isinstance(text, str | None):
        raise AudioError(f"{name}: its text is a {type(text).__name__}; give a string.")
    try:
        check_word_confidences(text, word_confidences)
    except ValueError as error:
        raise AudioError(f"{name}: {error}.") from error


def check_window(window: Any, hop: Any, longest: float = MAX_SECONDS) -> None:
    """Check that `window` and `hop` are lengths, in seconds, that a recording can be cut by.

    Raises:
        ValueError: they are not.
    """
    if window == "segments" and hop is None:
        return
    if not isinstance(window, (int, float)) or not MIN_SECONDS <= window <= longest:
        raise ValueError(
            f'window is a length of {MIN_SECONDS} to {longest:g} seconds, or "segments" and no hop, not {window!r}.'
        )
    if hop is not None and not (isinstance(hop, (int, float)) and MIN_SECONDS <= hop <= window):
        raise ValueError(f"hop is a length of {MIN_SECONDS} seconds to that of the window ({window:g}), not {hop!r}.")


def cut_windows(blocks: Iterable[np.ndarray], length: int, hop: int) -> Iterator[tuple[int, np.ndarray]]:
    """Cut a stream of samples into windows; no more of it is held than a block and a window.

    Args:
        blocks: arrays (samples,) that follow each other.
        length, hop: samples of a window, and from one's start to the next one's, at most `length`.

    Yields:
        The start of a window, and its samples (length,). The last one ends with the stream and may be shorter.
    """
    start, held = 0, np.zeros(0, np.float32)
    for block in blocks:
        held = np.concatenate([held, block])
        while len(held) > length:
            yield start, held[:length]
            start, held = start + hop, held[hop:]
    yield start, held


def cut_segments(
    blocks: Iterable[np.ndarray], transcribe_segments: Callable[[np.ndarray], list[Segment]], longest: int
) -> Iterator[tuple[int, np.ndarray, str]]:
    """Cut a stream of samples where an ASR model finds the ends of segments of speech.

    Args:
        blocks: arrays (samples,) that follow each other.
        transcribe_segments: gives of at most `longest` samples [(start, end, text)], in order and without overlap.

    Yields:
        The start of a segment, its samples, and its text.
    """
    start, held = 0, np.zeros(0, np.float32)
    for block in chain(blocks, [None]):
        held = held if block is None else np.concatenate([held, block])
        while len(held) > longest or (block is None and len(held)):
            segments = transcribe_segments(held[:longest])
            done = min(longest, len(held))
            if len(held) > longest and len(segments) > 1:
                # The last segment may go on after the window: it is transcribed again together with what follows.
                done = segments.pop()[0]
            yield from ((start + first, held[first:last], text) for first, last, text in segments)
            start, held = start + done, held[done:]


def without_overlap(pieces: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Turn pieces that may overlap into spans of time that do not.

    A span begins with a piece and ends where the next begins. Its scores are the mean of all pieces that reach into
    it, weighted by how far they do.

    Args:
        pieces: dicts with "start" and "end" in seconds and "scores" {label: score}, in order of their starts.

    Yields:
        The same dicts with the span's "end" and "scores".
    """
    covering: list[dict[str, Any]] = []
    for piece, following in pairwise(chain(pieces, [{"start": math.inf}])):
        covering = [earlier for earlier in covering if earlier["end"] > piece["start"]] + [piece]
        end = min(piece["end"], following["start"])
        weights = [min(one["end"], end) - piece["start"] for one in covering]
        yield {**piece, "end": end, "scores": mean_scores([one["scores"] for one in covering], weights)}


def mean_scores(scores: list[dict[str, float]], weights: list[float]) -> dict[str, float]:
    """Compute the weighted mean of several {label: score}."""
    total = sum(weights)
    return {
        label: sum(weight * one[label] for weight, one in zip(weights, scores, strict=True)) / total
        for label in scores[0]
    }


def rank(scores: dict[str, float], top_k: int | None = None, abstain_below: float | None = None) -> dict[str, Any]:
    """Turn {label: score} into {"scores"}, the best `top_k`, and where `abstain_below` is given "label"."""
    ranked = sorted(scores.items(), key=lambda item: -item[1])
    output: dict[str, Any] = {"scores": [{"score": score, "label": label} for label, score in ranked[:top_k]]}
    if abstain_below is not None:
        label, score = ranked[0]
        output["label"] = label if score >= abstain_below else None
    return output


def aggregate(entries: list[dict[str, Any]], abstain_below: float | None = None) -> dict[str, Any]:
    """Compute the output for a whole recording: the mean over its timeline's entries, weighted by their lengths.

    Raises:
        AudioError: there is no entry.
    """
    if not entries:
        raise AudioError('The ASR model found no speech; give window= in seconds instead of "segments".')
    scores = [{item["label"]: item["score"] for item in entry["scores"]} for entry in entries]
    return rank(mean_scores(scores, [entry["end"] - entry["start"] for entry in entries]), abstain_below=abstain_below)
