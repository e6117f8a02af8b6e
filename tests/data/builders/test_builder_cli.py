"""The sound of videos: any rate and channels to 16 kHz mono, or one sentence that names the file."""

import sys

import av
import numpy as np
import pytest

from experiments.fake_releases import CLIP_RATE, VIDEO_SIZE, tone, write_video
from m4ser.data.builders import builder_cli
from m4ser.data.builders.builder_cli import map_in_processes, read_video
from m4ser.data.schema import DataError
from m4ser.model.audio_m4ser import AudioError


@pytest.mark.parametrize(("rate", "layout"), [(44_100, "stereo"), (48_000, "5.1"), (16_000, "mono")])
def test_any_rate_and_layout_becomes_16_khz_mono(tmp_path, rate, layout):
    write_video(tmp_path / "clip.mp4", tone(1.0, rate), rate, layout)
    sound = read_video(tmp_path / "clip.mp4")
    assert sound.dtype == np.int16
    assert len(sound) == pytest.approx(16_000, abs=16_000 * 0.07)  # the codec's frames are 64 ms at 16 kHz
    spectrum = np.abs(np.fft.rfft(sound[:16_000]))
    assert np.argmax(spectrum) == 220
    # Nothing is clipped, and nothing that is not in the voice was added.
    expected = tone(1.0, 16_000)
    assert np.sqrt(np.mean((sound[:16_000] / 2**15) ** 2)) == pytest.approx(np.sqrt(np.mean(expected**2)), rel=0.1)


def test_sound_longer_than_the_limit_is_refused(tmp_path, monkeypatch):
    write_video(tmp_path / "clip.mp4", tone(2.0, CLIP_RATE))
    monkeypatch.setattr(builder_cli, "MAX_SECONDS", 1)
    with pytest.raises(AudioError, match=r"clip\.mp4: its sound is longer than 1 s; cut it"):
        read_video(tmp_path / "clip.mp4")


def test_a_clip_shorter_than_a_frame(tmp_path):
    write_video(tmp_path / "clip.mp4", tone(0.01, CLIP_RATE))
    assert 0 < len(read_video(tmp_path / "clip.mp4")) < 3200


def test_a_damaged_packet_costs_no_more_than_itself(tmp_path):
    clip = tmp_path / "clip.mp4"
    write_video(clip, tone(2.0, CLIP_RATE))
    with av.open(clip) as container:
        packets = [packet.pos for packet in container.demux(container.streams.audio[0]) if packet.size]
    content = bytearray(clip.read_bytes())
    middle = packets[len(packets) // 2]
    content[middle : middle + 100] = b"\xff" * 100
    clip.write_bytes(content)
    assert 1.8 < len(read_video(clip)) / 16_000 < 2.1


def silent_video(path):
    with av.open(path, "w") as container:
        picture = container.add_stream("mpeg4", rate=24)
        picture.height, picture.width = VIDEO_SIZE
        black = np.zeros((*VIDEO_SIZE, 3), np.uint8)
        container.mux(picture.encode(av.VideoFrame.from_ndarray(black, format="rgb24")))
        container.mux(picture.encode())


def test_file_without_sound_is_named(tmp_path):
    silent_video(tmp_path / "silent.mp4")
    write_video(tmp_path / "cut.mp4", tone(1.0, CLIP_RATE))
    content = (tmp_path / "cut.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(content[: len(content) // 2])
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "text.mp4").write_bytes(b"not found" * 100)
    for name in ("silent.mp4", "cut.mp4", "empty.mp4", "text.mp4", "missing.mp4"):
        with pytest.raises(AudioError, match=f"{name}: .*fetch it again or leave it out"):
            read_video(tmp_path / name)


def test_missing_pyav_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(DataError, match=r"pip install m4ser\[video\]"):
        read_video(tmp_path / "clip.mp4")


def square(number):
    if number < 0:
        raise AudioError("below zero")
    return number**2


def test_results_come_in_order_and_errors_through():
    numbers = list(range(1100))  # several blocks
    assert list(map_in_processes(square, numbers)) == [number**2 for number in numbers]
    with pytest.raises(AudioError, match="below zero"):
        list(map_in_processes(square, [1, -1]))
