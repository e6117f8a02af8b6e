"""A guard against text that Whisper invents where nobody speaks, or repeats without end.

Radford et al. 2023 ("Robust Speech Recognition via Large-Scale Weak Supervision", Sec. 4.5) retry such text at
higher temperatures; so does openai/whisper's transcribe.py, whose thresholds these are. Sampling would not be
repeatable, so that here the text is rejected: it is kept beside the hypothesis, which then is empty.

A low log-probability alone rejects nothing: emotional speech is hard to transcribe, and what an ASR model makes of it,
right or wrong, is what M4SER learns from.
"""

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from m4ser.data.schema import SAMPLING_RATE

NO_SPEECH_PROBABILITY = 0.6
MEAN_LOG_PROBABILITY = -1.0
COMPRESSION_RATIO = 2.4
# Ours. Someone who cries "no" fifteen times compresses as well as an endless loop, but takes time for it: English runs
# at about 15 characters a second.
CHARACTERS_PER_SECOND = 25
# Ours, in dB of full scale, some ten steps of 16 bits. The quietest of RAVDESS's 1,440 recordings has -56.
SILENCE_LEVEL = -70.0
FRAME = SAMPLING_RATE // 10
LOWEST_LEVEL = -120.0


def reason_to_reject(transcription: Mapping[str, Any], level: float, seconds: float) -> str | None:
    """Return why a transcription's text cannot have been said, or None.

    Args:
        transcription: of one recording by `Whisper.transcribe_batch`. level: the recording's `loudest_level`. seconds:
            its length.

    Returns:
        "silence", "no speech", "repetition" or None; an empty text is never rejected.
    """
    text = transcription["text"]
    if not text:
        return None
    if level < SILENCE_LEVEL:
        return "silence"
    unsure = mean_log_probability(transcription["token_log_probabilities"]) < MEAN_LOG_PROBABILITY
    if unsure and transcription["no_speech_probability"] > NO_SPEECH_PROBABILITY:
        return "no speech"
    if compression_ratio(text) > COMPRESSION_RATIO and len(text) > CHARACTERS_PER_SECOND * seconds:
        return "repetition"
    return None


def mean_log_probability(log_probabilities: Sequence[float]) -> float:
    """Compute the mean over the tokens with the end, as Whisper's `avg_logprob`."""
    return sum(log_probabilities) / len(log_probabilities)


def compression_ratio(text: str) -> float:
    """Compute the bytes of the text in UTF-8 over the bytes of it compressed."""
    written = text.encode()
    return len(written) / len(zlib.compress(written))


def loudest_level(samples: np.ndarray) -> float:
    """Compute the level of the loudest tenth of a second, in dB of full scale, at least LOWEST_LEVEL.

    Args:
        samples: float32 in -1..1 at 16 kHz, shape (samples,).
    """
    starts = range(0, len(samples), FRAME)
    power = max(float(np.mean(np.square(samples[start : start + FRAME], dtype=np.float64))) for start in starts)
    return max(10 * np.log10(power), LOWEST_LEVEL) if power else LOWEST_LEVEL
