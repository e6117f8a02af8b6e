"""Transcription through the real pipeline with a tiny random Whisper, killed and resumed."""

import json

import numpy as np
import pytest
from transformers import pipeline

from m4ser.asr import transcribe, transcribed_ids
from m4ser.data.building import read_hypotheses
from m4ser.data.schema import DataError
from tests.tiny_whisper import WINDOW_SECONDS, save_tiny_whisper


@pytest.fixture(scope="module")
def asr(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whisper")
    save_tiny_whisper(folder)
    return pipeline("automatic-speech-recognition", model=str(folder), device="cpu")


def recordings(count=7, seconds=WINDOW_SECONDS):
    """Noise of random lengths up to `seconds`, the last of just that length, at 16 kHz."""
    generator = np.random.default_rng(0)
    lengths = [*generator.integers(1, seconds * 16000, size=count - 1), seconds * 16000]
    return [
        (f"clip {i}", (0.3 * generator.standard_normal(length)).astype(np.float32)) for i, length in enumerate(lengths)
    ]


@pytest.fixture(scope="module")
def expected(asr):
    """What the pipeline says about each recording on its own."""
    hypotheses = {id: asr(audio)["text"].strip() for id, audio in recordings()}
    assert len(set(hypotheses.values())) > 3, "recordings that sound alike would hide a mix-up"
    return hypotheses


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_each_recording_gets_its_own_hypothesis_whatever_the_batch(asr, expected, tmp_path, batch_size):
    output = tmp_path / "deep" / "hypotheses.jsonl"
    transcribe(iter(recordings()), asr, output, batch_size)
    assert read_hypotheses(output) == expected


def test_a_killed_run_goes_on_where_it_stopped(asr, expected, tmp_path):
    output = tmp_path / "hypotheses.jsonl"
    transcribe(recordings(), asr, output, batch_size=2)
    whole = output.read_bytes()
    lines = whole.splitlines(keepends=True)
    for cut in (len(whole) - 1, len(lines[0]) + 3, len(lines[0]), 5, 0):
        output.write_bytes(whole[:cut])
        finished = whole[:cut].count(b"\n")
        assert len(transcribed_ids(output)) == finished
        assert output.read_bytes() == b"".join(lines[:finished])
        transcribe(recordings(), asr, output, batch_size=2)
        assert output.read_bytes().startswith(b"".join(lines[:finished]))
        assert output.read_bytes().count(b"\n") == len(expected)
        assert read_hypotheses(output) == expected


def test_what_is_transcribed_is_not_recognised_again(asr, tmp_path):
    output = tmp_path / "hypotheses.jsonl"
    output.write_text('{"id": "clip 0", "hypothesis": "by hand"}\n')
    transcribe(recordings(), asr, output)
    assert read_hypotheses(output)["clip 0"] == "by hand"
    before = output.read_bytes()
    transcribe(recordings(), asr, output)
    assert output.read_bytes() == before


def test_what_is_recognised_is_written_before_more_is_read(asr, tmp_path):
    output = tmp_path / "hypotheses.jsonl"

    def broken_off():
        yield from recordings(8)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        transcribe(broken_off(), asr, output, batch_size=1)
    assert len(read_hypotheses(output)) == 8


def test_a_recording_longer_than_the_window_is_heard_to_its_end(asr, tmp_path):
    short, long = recordings(1), [("long", audio) for _, audio in recordings(1, 3 * WINDOW_SECONDS)]
    transcribe(short + long, asr, tmp_path / "hypotheses.jsonl", batch_size=2)
    hypotheses = read_hypotheses(tmp_path / "hypotheses.jsonl")
    assert hypotheses["long"] == asr(long[0][1], return_timestamps=True)["text"].strip()
    assert hypotheses["clip 0"] == asr(short[0][1])["text"].strip()


@pytest.mark.parametrize("text", ["no newline", "one\ntwo\n", '["a"]\n', "[1]\n", '{"text": "a"}\n', '{\n "id": 1\n}'])
def test_a_file_of_something_else_is_refused_and_left_alone(asr, tmp_path, text):
    output = tmp_path / "other.json"
    output.write_text(text)
    with pytest.raises(DataError, match=r"other\.json holds other things"):
        transcribe(recordings(), asr, output)
    assert output.read_text() == text


def test_a_missing_recogniser_is_named(tmp_path):
    with pytest.raises(DataError, match=r"No speech recogniser at .*nowhere"):
        transcribe(recordings(), tmp_path / "nowhere", tmp_path / "hypotheses.jsonl")
    assert not (tmp_path / "hypotheses.jsonl").exists()


def test_lines_are_json_with_id_and_hypothesis(asr, tmp_path):
    transcribe(recordings(), asr, tmp_path / "hypotheses.jsonl")
    for line in (tmp_path / "hypotheses.jsonl").read_text().splitlines():
        assert json.loads(line).keys() == {"id", "hypothesis"}
