"""One input of the pipeline, loaded: samples and text, or what is wrong with it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .audio_m4ser import AudioError, has_audio, load_audio
from .inputs_m4ser import valid_unicode
from .windowing_m4ser import MAX_SECONDS, MIN_SECONDS, check_text, split_source

SILENCE = 2 / 2**15  # from lowest to highest sample: the last bit of 16, up or down


@dataclass
class LoadedRecording:
    """One loaded input: samples, its hypothesis (None: not transcribed yet), and why it cannot be used or trusted."""

    waveform: np.ndarray
    text: str | None = None
    word_confidences: Sequence[float] | None = None
    error: str | None = None
    warning: str | None = None


def load_recording(
    source: Any,
    rate: int,
    takes_speech: bool = True,
    allow_addresses: bool = True,
    max_seconds: float = MAX_SECONDS,
) -> LoadedRecording:
    """Load one input of the pipeline; what is wrong with it becomes its `error`.

    Args:
        source: as [`M4SERPipeline`] takes one recording. rate: Hz of the samples. takes_speech: whether the network
            has a speech encoder; one without takes a text that has no recording, too. allow_addresses: or refuse them.
        max_seconds: a longer recording is refused.
    """
    audio, text, confidences, name = split_source(source)
    try:
        check_text(text, confidences, name)
        text = None if text is None else valid_unicode(text)
        if text is not None and not takes_speech and not has_audio(audio):
            return LoadedRecording(np.zeros(1, np.float32), text, confidences)
        waveform = load_audio(audio, rate, rate, max_seconds=max_seconds, allow_addresses=allow_addresses)
        return LoadedRecording(
            waveform, text, confidences, warning=_no_speech(waveform, rate) if takes_speech else None
        )
    except AudioError as error:
        # A batch goes on without this recording; a moment of silence keeps its index.
        return LoadedRecording(np.zeros(1, np.float32), "", error=str(error))


def _no_speech(waveform: np.ndarray, rate: int) -> str | None:
    """Return why no voice can be in a recording."""
    if len(waveform) < MIN_SECONDS * rate:
        return f"shorter than {MIN_SECONDS:g} s"
    return "silent" if np.ptp(waveform) < SILENCE else None
