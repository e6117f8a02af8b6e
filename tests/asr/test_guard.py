"""What is rejected, on both sides of each threshold."""

import numpy as np
import pytest

from m4ser.asr.guard import (
    SILENCE_LEVEL,
    compression_ratio,
    loudest_level,
    mean_log_probability,
    reason_to_reject,
)
from m4ser.model.audio_m4ser import load_audio

LOUD = -20.0
LOOP = "Thank you for watching. " * 20


def transcription(text="Thank you.", log_probability=-0.5, no_speech=0.1):
    return {
        "text": text,
        "token_log_probabilities": [log_probability] * 4,
        "no_speech_probability": no_speech,
    }


@pytest.mark.parametrize(
    ("transcribed", "level", "seconds", "reason"),
    [
        (transcription(), LOUD, 1, None),
        (transcription(), -69.9, 1, None),
        (transcription(), -70.1, 1, "silence"),
        (transcription(text=""), -70.1, 1, None),
        (transcription(log_probability=-1.1, no_speech=0.61), LOUD, 1, "no speech"),
        (transcription(log_probability=-0.9, no_speech=0.99), LOUD, 1, None),
        (transcription(log_probability=-3.0, no_speech=0.59), LOUD, 1, None),
        (transcription(text=LOOP), LOUD, 5, "repetition"),
        (transcription(text="No, " * 15), LOUD, 5, None),
        (transcription(text="No, " * 15), LOUD, 1, "repetition"),
    ],
    ids=[
        "speech",
        "just loud enough",
        "silence",
        "no text",
        "no speech",
        "sure of itself",
        "unsure, but speech",
        "a loop",
        "a long cry",
        "faster than anyone speaks",
    ],
)
def test_reasons_to_reject(transcribed, level, seconds, reason):
    assert reason_to_reject(transcribed, level, seconds) == reason


def test_fast_speech_without_repetition_is_kept():
    varied = " ".join(str(number) for number in range(1000, 1200, 7))
    assert len(varied) > 25 and compression_ratio(varied) < 2.4
    assert reason_to_reject(transcription(text=varied), LOUD, 1) is None


def test_mean_counts_every_token():
    assert mean_log_probability([-1.0, -2.0, -6.0]) == -3.0


def test_level_is_of_loudest_tenth_of_a_second():
    samples = np.full(16000, 1e-4, dtype=np.float32)  # -80 dB
    assert loudest_level(samples) == pytest.approx(-80, abs=1e-3)
    samples[3200:4800] = 0.1
    assert loudest_level(samples) == pytest.approx(-20, abs=1e-3)
    assert loudest_level(samples[:1]) == pytest.approx(-80, abs=1e-3)
    assert loudest_level(np.zeros(16000, np.float32)) == -120


def test_real_speech_is_loud_enough(shared_data):
    clips = [*(shared_data / "asr_speech").glob("*.wav"), *sorted((shared_data / "ravdess16k").rglob("*.flac"))[::20]]
    assert len(clips) > 70
    assert min(loudest_level(load_audio(clip)) for clip in clips) > SILENCE_LEVEL + 10
