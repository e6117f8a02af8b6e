"""Every recording gives 16 kHz mono samples or one error that names it and says what to do."""

import io
import os
import shutil
import subprocess
import sys
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from m4ser.model import audio_m4ser
from m4ser.model.audio_m4ser import AudioError, load_audio, stream_audio

TONE = 440


def sine(rate, seconds=1.0, frequency=TONE):
    return (0.5 * np.sin(2 * np.pi * frequency * np.arange(int(rate * seconds)) / rate)).astype(np.float32)


def loudest_frequency(samples, rate=16000):
    return np.argmax(np.abs(np.fft.rfft(samples))) * rate / len(samples)


def encoded(samples, rate, format="WAV", **options):
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=format, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100, 48000])
def test_resampling_keeps_pitch_and_length(tmp_path, rate):
    soundfile.write(tmp_path / "tone.wav", sine(rate), rate, subtype="PCM_16")
    samples = load_audio(tmp_path / "tone.wav")
    assert samples.dtype == np.float32 and samples.shape == (16000,)
    assert loudest_frequency(samples) == TONE
    assert np.abs(samples[1000:-1000]).max() == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("format", ["WAV", "FLAC", "OGG", "MP3"])
def test_formats_load_from_path_and_bytes(tmp_path, format):
    data = encoded(sine(16000), 16000, format)
    (tmp_path / "tone").write_bytes(data)
    from_path, from_bytes = load_audio(str(tmp_path / "tone")), load_audio(data)
    assert loudest_frequency(from_path[:16000]) == pytest.approx(TONE, abs=2)
    np.testing.assert_array_equal(from_path, from_bytes)


def test_channels_are_averaged(tmp_path):
    left, right = sine(16000), np.zeros(16000, np.float32)
    soundfile.write(tmp_path / "stereo.wav", np.stack([left, right], axis=1), 16000, subtype="FLOAT")
    np.testing.assert_allclose(load_audio(tmp_path / "stereo.wav"), left / 2)


@pytest.mark.parametrize("shape", [(2, 1000), (1000, 2), (1, 1000), (1000, 1), (1000,)])
def test_shorter_axis_is_channels(shape):
    samples = load_audio(np.full(shape, 0.25), sampling_rate=16000)
    np.testing.assert_array_equal(samples, np.full(1000, 0.25, np.float32))


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.array([-32768, 0, 16384], np.int16), [-1, 0, 0.5]),
        (np.array([-(2**31), 0, 2**30], np.int32), [-1, 0, 0.5]),
        (np.array([0, 128, 192], np.uint8), [-1, 0, 0.5]),
        (np.array([-1, 0, 0.5], np.float64), [-1, 0, 0.5]),
        ([-1.0, 0.0, 0.5], [-1, 0, 0.5]),
        (torch.tensor([-1, 0, 0.5], dtype=torch.bfloat16, requires_grad=True), [-1, 0, 0.5]),
        (torch.tensor([-32768, 0, 16384], dtype=torch.int16), [-1, 0, 0.5]),
    ],
)
def test_sample_types_become_unit_range_floats(array, expected):
    samples = load_audio(array, sampling_rate=16000)
    assert samples.dtype == np.float32
    np.testing.assert_array_equal(samples, np.array(expected, np.float32))


def test_dicts_of_datasets_and_pipeline_load(tmp_path):
    tone = sine(16000)
    data = encoded(tone, 16000, subtype="FLOAT")
    (tmp_path / "tone.wav").write_bytes(data)
    for source in [
        {"bytes": data, "path": "gone.wav"},
        {"bytes": None, "path": str(tmp_path / "tone.wav")},
        {"array": tone, "sampling_rate": 16000},
        {"raw": tone.tolist(), "sampling_rate": 16000, "path": None},
    ]:
        before = dict(source)
        np.testing.assert_array_equal(load_audio(source), tone)
        assert source == before


@pytest.mark.parametrize("samples", [np.zeros(16000), np.full(100, 0.3), np.full(1, 0.3)])
def test_silence_constants_and_short_clips_are_unchanged(samples):
    np.testing.assert_array_equal(load_audio(samples, 16000), samples.astype(np.float32))


def test_clip_too_short_to_resample_keeps_a_sample():
    assert load_audio(np.full(1, 0.3), 48000).shape == (1,)


def test_truncated_wav_gives_remaining_part(tmp_path):
    data = encoded(sine(16000), 16000)
    (tmp_path / "cut.wav").write_bytes(data[: len(data) // 2])
    assert 7900 < len(load_audio(tmp_path / "cut.wav")) <= 8000


@pytest.mark.parametrize("frames", [1, 7])
def test_short_multichannel_file_is_not_transposed(frames):
    channels = np.arange(frames * 8).reshape(frames, 8) / 100
    np.testing.assert_allclose(load_audio(encoded(channels, 16000, subtype="FLOAT")), channels.mean(1), rtol=1e-6)


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_stream_blocks_join_to_whole(monkeypatch, rate):
    monkeypatch.setattr(audio_m4ser, "SAMPLES_PER_READ", 6002)
    stereo = np.random.default_rng(0).uniform(-1, 1, (2 * rate, 2))
    data = encoded(stereo, rate, "FLAC")
    blocks = list(stream_audio(data))
    assert len(blocks) > 5 and max(map(len, blocks)) < 9000
    np.testing.assert_allclose(np.concatenate(blocks), load_audio(data), atol=1e-6)


def test_short_stream_keeps_a_sample():
    assert np.concatenate(list(stream_audio(np.full(1, 0.3), 48000))).shape == (1,)


def test_damage_raises_when_reached():
    blocks = stream_audio(FLAC[: len(FLAC) // 2], name="clip 7")
    with pytest.raises(AudioError, match=r"clip 7: .*damaged"):
        list(blocks)
    with pytest.raises(AudioError, match="clip 7: the file is empty"):
        stream_audio(b"", name="clip 7")


def test_too_long_recording_raises_before_decoding(monkeypatch):
    monkeypatch.setattr(audio_m4ser, "SAMPLES_PER_READ", 1000)
    cut = FLAC[: len(FLAC) // 2]  # decoding on would reach the damage
    with pytest.raises(AudioError, match=r"clip 7: the recording is longer than 0\.1 s"):
        load_audio(cut, name="clip 7", max_seconds=0.1)
    assert len(load_audio(FLAC, max_seconds=1)) == 16000
    with pytest.raises(AudioError, match="longer than 1 s"):
        load_audio(np.zeros(8001), 8000, max_seconds=1)


@pytest.fixture
def server(tmp_path):
    """The address of a web server over tmp_path."""

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=tmp_path)

        def log_message(self, *args):
            """Tests print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_address_is_downloaded(tmp_path, server):
    (tmp_path / "tone.flac").write_bytes(FLAC)
    np.testing.assert_array_equal(load_audio(f"{server}/tone.flac"), load_audio(FLAC))
    with pytest.raises(AudioError, match=rf"^{server}/gone.wav: cannot be downloaded \(HTTP Error 404"):
        load_audio(f"{server}/gone.wav")
    with pytest.raises(AudioError, match="cannot be downloaded"):
        load_audio("http://")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_named_pipe_loads(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    threading.Thread(target=lambda: (tmp_path / "pipe").write_bytes(FLAC), daemon=True).start()
    np.testing.assert_array_equal(load_audio(tmp_path / "pipe"), load_audio(FLAC))


FLAC = encoded(sine(16000), 16000, "FLAC")
BAD_FILES = {
    "empty.wav": (b"", "file is empty"),
    "header_only.wav": (encoded(np.zeros(0), 16000), "no samples"),
    "page.wav": (b"<!DOCTYPE html><html>Not found</html>" * 20, "not an audio file"),
    "cut.flac": (FLAC[: len(FLAC) // 2], "damaged"),
    # The 36 bits of the header's length all set, which stand for seven weeks.
    "endless.flac": (FLAC[:21] + bytes([FLAC[21] | 0x0F]) + b"\xff" * 4 + FLAC[26:], "damaged"),
    "nan.wav": (encoded(np.full(1000, np.nan), 16000, subtype="FLOAT"), "NaN"),
    "inf.wav": (encoded(np.full(1000, np.inf), 16000, subtype="FLOAT"), "NaN or infinite"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_file_raises_with_name(tmp_path, name):
    data, reason = BAD_FILES[name]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(AudioError, match=reason) as error:
        load_audio(tmp_path / name)
    assert str(tmp_path / name) in str(error.value)
    with pytest.raises(AudioError, match=f"^clip 7: .*{reason}"):
        load_audio(data, name="clip 7")


def test_bad_path_raises_with_name(tmp_path):
    with pytest.raises(AudioError, match=r"nowhere\.wav: there is no such file"):
        load_audio(tmp_path / "nowhere.wav")
    with pytest.raises(AudioError, match="this is a folder"):
        load_audio(tmp_path)
    with pytest.raises(AudioError, match="cannot be read"):
        load_audio("nul\0character.wav")


@pytest.mark.parametrize("rate", [None, 0, -16000, float("nan"), float("inf"), "fast"])
def test_unusable_sampling_rate_raises(rate):
    with pytest.raises(AudioError, match=r"clip 7: .*sampling.rate"):
        load_audio(np.zeros(100), sampling_rate=rate, name="clip 7")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ([], "no samples"),
        (np.zeros((0, 2)), "no samples"),
        ([0.0, float("nan")], "NaN"),
        ([1e300], "infinite"),
        ([[1.0], [1.0, 2.0]], "do not form an array"),
        (np.zeros((16, 1000)), "not one recording"),
        (np.zeros((2, 2, 1000)), "not one recording"),
        (np.float32(1), "not one recording"),
        (np.zeros(100, np.int64), "full scale"),
        (np.zeros(100, bool), "type bool"),
        (np.zeros(100, complex), "type complex"),
        (["a", "b"], "not audio"),
        (None, "not audio"),
        ({}, "no audio"),
        ({"bytes": None, "path": None}, "no audio"),
    ],
)
def test_unusable_samples_raise(source, reason):
    with pytest.raises(AudioError, match=f"^clip 7: .*{reason}"):
        load_audio(source, sampling_rate=16000, name="clip 7")


def test_missing_audio_libraries_are_named(monkeypatch):
    monkeypatch.setattr(audio_m4ser, "soundfile", None)
    monkeypatch.setattr(audio_m4ser, "soxr", None)
    assert load_audio(np.zeros(10), 16000).shape == (10,)
    with pytest.raises(AudioError, match="clip 7: install soundfile"):
        load_audio(encoded(sine(16000), 16000), name="clip 7")
    with pytest.raises(AudioError, match="clip 7: install soxr"):
        load_audio(np.zeros(10), 8000, name="clip 7")


def test_module_runs_with_numpy_alone(tmp_path):
    for name in ("audio_m4ser.py", "download_m4ser.py"):
        shutil.copy(Path(audio_m4ser.__file__).with_name(name), tmp_path)
    program = (
        "import sys\n"
        "for name in ('soundfile', 'soxr', 'torch', 'm4ser'): sys.modules[name] = None\n"
        f"sys.path.insert(0, {str(tmp_path.parent)!r})\n"
        f"from {tmp_path.name}.audio_m4ser import load_audio\n"
        "print(load_audio([0.5], 16000))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[0.5]", done.stderr


def test_real_stereo_recording_at_44100_hz(shared_data):
    samples = load_audio(shared_data / "asr_speech" / "jfk.flac")
    assert samples.shape == (176000,) and samples.dtype == np.float32
    assert 0.5 < np.abs(samples).max() < 1
