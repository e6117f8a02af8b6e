"""Recordings of any length in windows: their timeline, the mean over it, and the memory it takes."""

import math
from contextlib import contextmanager

import numpy as np
import pytest
import soundfile
from transformers import pipeline

from m4ser import AudioError, M4SERPipeline
from m4ser.model.asr_m4ser import ASRTranscriber
from m4ser.model.audio_m4ser import stream_audio
from m4ser.model.windowing_m4ser import cut_windows
from tests.assertions import EMOTIONS, assert_same, assert_scores, noise, scores
from tests.memory import peak_growth
from tests.tiny_whisper import WINDOW_SECONDS


@pytest.fixture(scope="module")
def hours(tmp_path_factory):
    """Three hours of silence in a FLAC of half a megabyte."""
    path = tmp_path_factory.mktemp("hours") / "silence.flac"
    write_silence(path, 180)
    assert path.stat().st_size < 700_000
    return path


def write_silence(path, minutes):
    with soundfile.SoundFile(path, "w", 16000, 1) as file:
        for _ in range(minutes):
            file.write(np.zeros(60 * 16000, np.int16))


def test_adjacent_windows_are_predicted_like_recordings(classify):
    samples = noise(16000 * 5)
    output = classify({"raw": samples, "sampling_rate": 16000}, window=2, batch_size=2)
    assert [(entry["start"], entry["end"], entry["text"]) for entry in output["timeline"]] == [
        (0, 2, ""),
        (2, 4, ""),
        (4, 5, ""),
    ]
    for entry in output["timeline"]:
        alone = samples[round(16000 * entry["start"]) : round(16000 * entry["end"])]
        assert_scores(entry["scores"])
        assert_same(entry["scores"], classify(alone))
    mean = {
        label: sum(w * scores(entry["scores"])[label] for w, entry in zip((2, 2, 1), output["timeline"], strict=True))
        / 5
        for label in EMOTIONS
    }
    assert_scores(output["scores"])
    assert scores(output["scores"]) == pytest.approx(mean, abs=1e-6)


@contextmanager
def recorded_batches(classify):
    """A list that gets the shape of `input_values` at each forward of the pipeline's model."""
    shapes = []
    hook = classify.model.register_forward_pre_hook(
        lambda _, args, kwargs: shapes.append(tuple(kwargs["input_values"].shape)), with_kwargs=True
    )
    try:
        yield shapes
    finally:
        hook.remove()


@pytest.mark.parametrize(("batch_size", "sizes"), [(None, [1] * 5), (1, [1] * 5), (2, [2, 2, 1]), (8, [5])])
def test_batch_size_reaches_model(classify, batch_size, sizes):
    samples = noise(16000 * 5)
    with recorded_batches(classify) as expected_shapes:
        expected = [classify(samples[16000 * i : 16000 * (i + 1)]) for i in range(5)]
    assert expected_shapes == [(1, 16000)] * 5
    for predict in (classify, lambda *args, **kwargs: {"timeline": list(classify.timeline(*args, **kwargs))}):
        with recorded_batches(classify) as shapes:
            entries = predict(samples, window=1, batch_size=batch_size)["timeline"]
        assert shapes == [(size, 16000) for size in sizes]
        for entry, one in zip(entries, expected, strict=True):
            assert_same(entry["scores"], one)


def test_batch_size_reaches_model_for_many_recordings(classify):
    with recorded_batches(classify) as shapes:
        list(classify((noise(16000 * 3, seed) for seed in range(2)), window=1, batch_size=2))
    assert shapes == [(2, 16000), (1, 16000)] * 2


def test_batch_size_reaches_asr_model(tiny_folder, whisper):
    asr = pipeline("automatic-speech-recognition", whisper)
    classify, sizes = M4SERPipeline.from_pretrained(tiny_folder, asr=asr), []
    asr.model.get_encoder().register_forward_hook(lambda encoder, inputs, output: sizes.append(len(output[0])))
    with recorded_batches(classify) as shapes:
        list(classify.timeline(noise(16000 * 5), window=1, batch_size=2))
    assert sizes[0] == max(sizes) == 2
    assert shapes == [(2, 16000), (2, 16000), (1, 16000)]


def test_segments_need_whisper(tiny_folder, whisper):
    asr = pipeline("automatic-speech-recognition", whisper)
    asr.feature_extractor = object()  # as of an ASR model with no window of its own
    classify = M4SERPipeline.from_pretrained(tiny_folder, asr=asr)
    with pytest.raises(ValueError, match="Only Whisper gives segments"):
        classify(noise(16000), window="segments")


def test_overlapping_windows_are_averaged(classify):
    samples = noise(16000 * 5)
    entries = list(classify.timeline(samples, window=2, hop=1))
    assert [(entry["start"], entry["end"]) for entry in entries] == [(0, 1), (1, 2), (2, 3), (3, 5)]
    first, second = (scores(classify(samples[16000 * i : 16000 * (i + 2)])) for i in (0, 1))
    assert scores(entries[0]["scores"]) == pytest.approx(first, abs=1e-5)
    mean = {label: (first[label] + second[label]) / 2 for label in EMOTIONS}
    assert scores(entries[1]["scores"]) == pytest.approx(mean, abs=1e-5)


def test_each_window_is_transcribed(tiny_folder, whisper):
    asr = pipeline("automatic-speech-recognition", whisper)
    classify = M4SERPipeline.from_pretrained(tiny_folder, asr=asr)
    samples = noise(16000 * 3)
    for entry in classify.timeline(samples, window=1, batch_size=2, return_correction=True, return_embeddings=True):
        start = round(16000 * entry["start"])
        assert entry["text"] == asr(samples[start : start + 16000])["text"].strip() != ""
        assert {"marked", "correction", "embeddings"} <= set(entry)


def test_segments_are_whispers(tiny_folder, classify, whisper):
    samples = noise(16000 * WINDOW_SECONDS)
    segments = ASRTranscriber(whisper, 16000, "cpu").segments(samples)
    entries = M4SERPipeline.from_pretrained(tiny_folder, asr=whisper)(samples, window="segments")["timeline"]
    assert segments
    times = [(round(16000 * entry["start"]), round(16000 * entry["end"]), entry["text"]) for entry in entries]
    assert times == segments
    for (start, end, text), entry in zip(segments, entries, strict=True):
        assert_same(entry["scores"], classify({"raw": samples[start:end], "sampling_rate": 16000, "text": text}))


def test_options_apply_to_timeline_entries(classify):
    output = classify(noise(32000), window=1, top_k=1, abstain_below=0.99)
    for part in (output, *output["timeline"]):
        assert len(part["scores"]) == 1 and part["label"] is None


def test_unusable_recording_among_many_gives_error(classify, tmp_path):
    nan = np.append(noise(40000), np.nan)
    inputs = [
        noise(32000),
        str(tmp_path / "gone.wav"),
        nan,
        {"raw": noise(9), "sampling_rate": 16000, "text": "hi"},
    ]
    for outputs in (classify(inputs, window=1), list(classify((item for item in inputs), window=1))):
        assert len(outputs[0]["timeline"]) == 2
        for output, reason in zip(outputs[1:], ("no such file", "NaN", "what was said when"), strict=True):
            assert reason in output["error"]
    with pytest.raises(AudioError, match="NaN"):
        classify(nan, window=1)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"window": 0}, "0.1 to 120 seconds"),
        ({"window": 121}, "0.1 to 120 seconds"),
        ({"window": math.nan}, "0.1 to 120 seconds"),
        ({"window": "sentences"}, 'or "segments"'),
        ({"window": "segments", "hop": 1}, "and no hop"),
        ({"hop": 1}, "not None"),
        ({"window": 2, "hop": 3}, "that of the window"),
        ({"window": 2, "hop": 0}, "0.1 seconds to"),
        ({"window": "segments"}, "needs an ASR model"),
    ],
)
def test_unusable_window_raises(classify, options, reason):
    with pytest.raises(ValueError, match=reason):
        classify(noise(16000), **options)


def test_cutting_three_hours_takes_constant_memory(hours):
    starts = []

    def run():
        starts.extend(start for start, _ in cut_windows(stream_audio(hours), 160_000, 160_000))

    assert peak_growth(run) < 100  # all of it takes 659
    assert starts == list(range(0, 3 * 3600 * 16000, 160_000))


def test_timeline_takes_constant_memory(classify, tmp_path):
    minutes = 30
    write_silence(tmp_path / "silence.flac", minutes)
    outputs = [classify(np.zeros(16000 * 100), window=10, batch_size=2)]  # allocates what windows take

    def run():
        outputs.append(classify(str(tmp_path / "silence.flac"), window=10, batch_size=2))

    assert peak_growth(run) < 60  # all of it takes 110
    timeline = outputs[1]["timeline"]
    assert [entry["start"] for entry in timeline] == list(range(0, 60 * minutes, 10))
    assert timeline[-1]["end"] == 60 * minutes
    assert_scores(outputs[1]["scores"])


def test_too_long_recording_raises_before_decoding(classify, hours):
    def run():
        outputs = classify([str(hours), noise(16000)])
        assert "silence.flac: the recording is longer than 120 s" in outputs[0]["error"]
        assert_scores(outputs[1])

    assert peak_growth(run) < 100
