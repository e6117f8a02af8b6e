"""The transcription benchmark: a random Whisper with texts of realistic length, and what is timed."""

import json
import time
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import random_whisper
from benchmarks.random_whisper import END, NO_TIMESTAMPS, SIZES, START, limit_to_speech_length, save_whisper, tokenizer
from benchmarks.transcription import Stopwatch, main, make_clips
from m4ser.asr.whisper import Whisper
from m4ser.model.asr_m4ser import ASRTranscriber

RATE = 16000


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """The published vocabulary and window, in a small network."""
    monkeypatch.setitem(random_whisper.SIZES, "tiny.en", (16, 1, 2))


@pytest.fixture
def folder(tmp_path):
    save_whisper(tmp_path, "tiny.en")
    return tmp_path


def noise(seconds):
    return np.random.default_rng(0).standard_normal(int(seconds * RATE)).astype(np.float32) / 10


@pytest.mark.parametrize("batch_size", [1, 3])
def test_three_tokens_per_second_at_any_batch_size(folder, batch_size):
    whisper = Whisper(folder)
    limit_to_speech_length(whisper._model)
    clips = [noise(seconds) for seconds in (1, 4, 30)]
    batches = [clips[start : start + batch_size] for start in range(0, 3, batch_size)]
    outputs = [output for batch in batches for output in whisper.transcribe_batch(batch)]
    assert [len(output["token_ids"]) for output in outputs] == [3 + 1, 12 + 1, 90 + 1]
    for output in outputs:
        assert output["token_ids"][-1] == END and max(output["token_ids"][:-1]) < END


def test_batch_is_decoded_until_its_longest_has_ended(folder):
    transcriber = ASRTranscriber(str(folder), RATE, "cpu")
    model = transcriber.pipeline.model
    limit_to_speech_length(model)
    steps = []
    model.proj_out.register_forward_hook(lambda *_: steps.append(1))
    transcriber.transcribe([noise(1), noise(4)], 2)
    assert len(steps) == 12 + 1


def test_vocabulary_is_that_of_whisper():
    """Numbers of openai/whisper-*.en."""
    made = tokenizer()
    assert len(made) == 51864
    for token, index in {
        "<|endoftext|>": END,
        "<|startoftranscript|>": START,
        "<|notimestamps|>": NO_TIMESTAMPS,
    }.items():
        assert made.convert_tokens_to_ids(token) == index
    assert made.convert_tokens_to_ids("<|nospeech|>") == 50361 and made.convert_tokens_to_ids("<|0.00|>") == 50363
    assert SIZES["small.en"] == (768, 12, 12)


def test_only_the_transcription_is_timed():
    transcriber = SimpleNamespace(transcribe=lambda waveforms: time.sleep(0.05))
    watch = Stopwatch(transcriber)

    def classify(inputs, batch_size):
        time.sleep(0.2)
        for item in inputs:
            transcriber.transcribe([item])

    watch.run("two", classify, [1, 2], batch_size=1)
    watch.run("none", classify, [], batch_size=1)
    assert 0.1 <= watch.seconds["two"][0] < 0.2 and watch.seconds["none"] == [0]


def test_clips_have_the_same_lengths_each_time():
    lengths = [len(clip) for clip in make_clips(5)]
    assert lengths == [len(clip) for clip in make_clips(8)[:5]] and len(set(lengths)) == 5


def test_with_and_without_transcription(capsys):
    main(["--preset", "tiny", "--recordings", "2", "--batch_size", "2", "--rounds", "1"])
    report = json.loads(capsys.readouterr().out)
    figures = report["figures"]
    for way in ("item by item", "batched"):
        alone = figures[f"seconds a recording, transcription {way}"]
        assert 0 < alone < figures[f"seconds a recording, with transcription {way}"]
        assert figures[f"seconds a recording, transcribe.py {way}"] > 0
    assert figures["seconds a recording, text given"] > 0
    assert report["at_least"].keys() == report["met"].keys()
    assert set(report["at_least"].values()) == {2.0}
