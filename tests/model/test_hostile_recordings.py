"""Small files that would take gigabytes or hours take little of either, and are refused in one sentence."""

import io
import time
import warnings

import numpy as np
import pytest
import soundfile

from m4ser import AudioError, M4SERPipeline
from m4ser.asr.transcription import load_recordings
from m4ser.data.builders import builder_cli
from m4ser.data.builders.builder_cli import read_recording
from m4ser.model import audio_m4ser
from m4ser.model.audio_m4ser import load_audio, stream_audio
from tests.assertions import assert_scores, noise, wav
from tests.memory import peak_growth

SILENT_HOURS = 5
MEBIBYTES, SECONDS = 60, 10
RATE_SENTENCE = "is not a sampling rate of speech; give 1000 to 768000 Hz"


def constant(rate, channels, seconds, value=0, block_seconds=1, **options):
    """The bytes of an audio file that holds nothing but `value`."""
    buffer, block = io.BytesIO(), np.full((rate * block_seconds, channels), value)
    with soundfile.SoundFile(buffer, "w", rate, channels, **options) as file:
        for _ in range(seconds // block_seconds):
            file.write(block)
    return buffer.getvalue()


def lying_wav():
    """A second of sound under a header that announces 4 GB."""
    data = bytearray(wav(noise(16000)))
    size = data.index(b"data") + 4
    data[4:8] = data[size : size + 4] = b"\xff" * 4
    return bytes(data)


@pytest.fixture(scope="module")
def hours():
    """Hours of silence in less than a megabyte."""
    data = constant(16000, 1, SILENT_HOURS * 3600, np.int16(0), 60, format="FLAC")
    assert len(data) < 2**20
    return data


USABLE = {
    "1,024 channels": (lambda: constant(16000, 1024, 3, 0.1, format="WAV", subtype="PCM_U8"), 48_000),
    "64 channels": (lambda: constant(16000, 64, 20, 0.1, 10, format="WAV", subtype="PCM_16"), 320_000),
    "8 channels at 655 kHz": (lambda: constant(655_350, 8, 8, 0.0, format="FLAC"), 128_000),
    "a header that announces 4 GB": (lying_wav, 16_000),
    "denormals": (lambda: wav(np.full(160_000, 1e-40, np.float32), subtype="FLOAT"), 160_000),
}
REFUSED = {
    "1 Hz": (lambda: constant(1, 1, 2**20, 0.0, 2**16, format="WAV", subtype="PCM_U8"), f"1 {RATE_SENTENCE}"),
    "10 MHz": (lambda: constant(10_000_000, 1, 2, 0.0, format="WAV", subtype="PCM_U8"), f"10000000 {RATE_SENTENCE}"),
    "1e300": (lambda: wav(np.full(1000, 1e300), subtype="DOUBLE"), "NaN or infinite samples"),
    "3e38": (lambda: wav(np.full((1000, 2), 3e38), subtype="FLOAT"), "NaN or infinite samples"),
    "1e30": (lambda: wav(np.full(1000, 1e30), subtype="FLOAT"), "beyond any scale"),
}


@pytest.mark.parametrize("name", USABLE)
def test_strange_files_are_loaded_in_little_memory(name):
    make, length = USABLE[name]
    data, loaded = make(), []
    started = time.monotonic()
    growth = peak_growth(
        lambda: loaded.extend((load_audio(data, max_seconds=120), np.concatenate([*stream_audio(data)])))
    )
    assert growth < MEBIBYTES and time.monotonic() - started < SECONDS
    assert len(loaded[0]) == length
    np.testing.assert_array_equal(*loaded)


@pytest.mark.parametrize("name", REFUSED)
def test_hostile_files_are_refused(name, classify):
    make, sentence = REFUSED[name]
    source = {"bytes": make(), "path": "a.wav"}

    def run():
        for use in (load_audio, lambda one: list(stream_audio(one)), classify, lambda one: classify(one, window=1)):
            with warnings.catch_warnings(), pytest.raises(AudioError, match=f"^a.wav: .*{sentence}"):
                warnings.simplefilter("error")
                use(source)

    assert peak_growth(run) < MEBIBYTES


@pytest.mark.parametrize("rate", [1, 999, 768_001, 1e9, 10**400])
def test_rates_without_speech_are_refused(rate):
    for options in ({"sampling_rate": rate}, {"sampling_rate": 16000, "target_sampling_rate": rate}):
        with pytest.raises(AudioError, match=RATE_SENTENCE):
            load_audio(np.zeros(100), **options)
        with pytest.raises(AudioError, match=RATE_SENTENCE):
            stream_audio(np.zeros(100), **options)


def test_loudest_and_quietest_samples_give_scores(classify):
    for scale in (1e-42, 2.0**31):
        assert_scores(classify((scale * noise(16000)).astype(np.float32)))


def test_hours_of_silence_end_at_the_limit(hours, classify, tiny_folder, tmp_path, monkeypatch):
    (tmp_path / "silence.flac").write_bytes(hours)
    monkeypatch.setattr(builder_cli, "MAX_SECONDS", 600)
    limited = M4SERPipeline.from_pretrained(tiny_folder, max_seconds=60)

    def run():
        with pytest.raises(AudioError, match=r"silence\.flac: .* longer than 120 s; cut it, or use a timeline"):
            classify({"path": str(tmp_path / "silence.flac")})
        with pytest.raises(AudioError, match=r"silence.flac: the recording is longer than 60 s; cut it\.$"):
            limited({"path": str(tmp_path / "silence.flac")}, window=10, hop=10)
        with pytest.raises(AudioError, match=r"silence.flac: the recording is longer than 600 s; cut it\.$"):
            read_recording(tmp_path / "silence.flac")

    assert peak_growth(run) < MEBIBYTES + 40  # ten minutes take 38


def test_whole_recordings_have_a_limit(hours):
    """Transcription, training and evaluation load whole recordings."""
    assert SILENT_HOURS * 3600 > audio_m4ser.MAX_WHOLE_SECONDS
    reasons = []
    growth = peak_growth(
        lambda: reasons.append(load_recordings([{"id": "a", "audio": {"bytes": hours}}], [0], 480_000).unreadable[0])
    )
    assert reasons == ["the recording: the recording is longer than 14400 s; cut it, or use a timeline of windows."]
    assert growth < 1000  # 2**30 bytes, of which 4 hours take 880 MiB
