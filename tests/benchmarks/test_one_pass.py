"""The benchmark of one pass: the same network with and without its head, and texts of realistic length."""

import json

import numpy as np
import pytest
import soundfile

from benchmarks import one_pass, random_whisper
from benchmarks.one_pass import (
    GIVEN,
    GIVEN_WITHOUT_HEAD,
    ONE_PASS,
    ONE_PASS_INT8,
    TINY_INT8,
    compare,
    main,
    make_systems,
    write_recordings,
)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """The published vocabulary and window, in small networks."""
    for size in one_pass.FASTER:
        monkeypatch.setitem(random_whisper.SIZES, size, (16, 1, 2))


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data" / "ravdess16k" / "flac"
    folder.mkdir(parents=True)
    for index in range(6):
        samples = np.random.default_rng(index).standard_normal(4000 * (index + 1)) / 10
        soundfile.write(folder / f"{index}.flac", samples, 16000)
    return tmp_path / "data"


def test_recordings_are_at_equal_distances_and_16_khz(data, tmp_path):
    samples = np.zeros((2 * 44100, 2))
    soundfile.write(data / "ravdess16k" / "flac" / "4.flac", samples, 44100)
    (paths,) = write_recordings(data, 3, tmp_path).values()
    assert [soundfile.info(path).duration for path in paths] == [0.25, 0.75, 2]
    assert {(soundfile.info(path).samplerate, soundfile.info(path).channels) for path in paths} == {(16000, 1)}
    (noise,) = write_recordings(tmp_path / "gone", 2, tmp_path).values()
    assert [path.name for path in noise] == ["noise-0.wav", "noise-1.wav"]


def test_systems_differ_in_their_text_alone(data, tmp_path):
    systems, alone = make_systems("tiny", tmp_path)
    path = data / "ravdess16k" / "flac" / "5.flac"  # 1.5 s
    text = systems[ONE_PASS](path)["transcript"]
    assert one_pass.SENTENCE.startswith(text) and 15 < len(text) < 25
    assert one_pass.SENTENCE.startswith(systems[ONE_PASS_INT8](path)["transcript"])
    assert not one_pass.SENTENCE.startswith(systems[TINY_INT8](path)["transcript"])
    assert alone[GIVEN](path) == alone[GIVEN_WITHOUT_HEAD](path)
    assert systems["tiny.en"](path)["transcript"] != text


def test_ratios_are_medians_of_pairs():
    seconds = {
        ONE_PASS: [[1.0, 2.0], [4.0]],
        "tiny.en": [[2.0, 8.0], [4.0]],
        "small.en": [[10.0, 20.0], [40.0]],
        ONE_PASS_INT8: [[1.0, 1.0], [2.0]],
        TINY_INT8: [[3.0, 3.0], [6.0]],
        GIVEN: [[1.0], [1.0]],
        GIVEN_WITHOUT_HEAD: [[1.0], [1.0]],
    }
    figures, goals = compare(seconds, "noise", 11.0)
    assert figures[f"seconds a recording, {ONE_PASS}, noise"] == (1.5 + 4) / 2
    assert figures[f"real-time factor, {ONE_PASS}, noise"] == 0.5
    assert {name: figures[name] for name in goals} == {
        "Whisper tiny.en and M4SER / one pass, noise": 2.0,
        "Whisper small.en and M4SER / one pass, noise": 10.0,
        "Whisper tiny.en and M4SER / one pass, int8, noise": 3.0,
    }
    assert figures["emotion alone, with / without the head, noise"] == 1


def test_from_the_command_to_the_report(data, capsys):
    main(["--data", str(data), "--clips", "1", "--preset", "tiny", "--rounds", "1"])
    report = json.loads(capsys.readouterr().out)
    assert report["at_most"] == {"emotion alone, with / without the head, RAVDESS": 1.02}
    assert sorted(report["at_least"].values()) == [1.9, 1.9, 5.0]
    assert report["seconds_of_audio"] == {"RAVDESS": 0.25}
