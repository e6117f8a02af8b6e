"""A recording of any length in windows: what is heard in each, the mean, and the memory it takes."""

import gc
import math
from pathlib import Path

import numpy as np
import pytest
import soundfile
from transformers import pipeline

from m4ser import AudioError, M4SERPipeline
from m4ser.model.asr_m4ser import ASRTranscriber
from m4ser.model.audio_m4ser import stream_audio
from m4ser.model.windowing_m4ser import windows
from tests.assertions import EMOTIONS, assert_same, assert_scores, noise, scores
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


def peak_growth(run):
    """MiB by which the memory of this process grows at most while `run` runs."""
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("needs Linux, which tells the peak of a process's memory")
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak is now what is used now
    before = peak_memory()
    run()
    return (peak_memory() - before) / 1024


def peak_memory():
    """Of this process, in KiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def test_windows_side_by_side_are_answered_as_recordings_of_their_own(classify):
    samples = noise(16000 * 5)
    answer = classify({"raw": samples, "sampling_rate": 16000}, window=2, batch_size=2)
    assert [(entry["start"], entry["end"], entry["text"]) for entry in answer["timeline"]] == [
        (0, 2, ""),
        (2, 4, ""),
        (4, 5, ""),
    ]
    for entry in answer["timeline"]:
        alone = samples[round(16000 * entry["start"]) : round(16000 * entry["end"])]
        assert_scores(entry["scores"])
        assert_same(entry["scores"], classify(alone))
    mean = {
        label: sum(w * scores(entry["scores"])[label] for w, entry in zip((2, 2, 1), answer["timeline"], strict=True))
        / 5
        for label in EMOTIONS
    }
    assert_scores(answer["scores"])
    assert scores(answer["scores"]) == pytest.approx(mean, abs=1e-6)


def test_where_windows_overlap_their_scores_are_averaged(classify):
    samples = noise(16000 * 5)
    entries = list(classify.timeline(samples, window=2, hop=1))
    assert [(entry["start"], entry["end"]) for entry in entries] == [(0, 1), (1, 2), (2, 3), (3, 5)]
    first, second = (scores(classify(samples[16000 * i : 16000 * (i + 2)])) for i in (0, 1))
    assert scores(entries[0]["scores"]) == pytest.approx(first, abs=1e-5)
    mean = {label: (first[label] + second[label]) / 2 for label in EMOTIONS}
    assert scores(entries[1]["scores"]) == pytest.approx(mean, abs=1e-5)


def test_the_text_of_each_window_is_heard_in_it(tiny_folder, whisper):
    asr = pipeline("automatic-speech-recognition", whisper)
    hears = M4SERPipeline.from_pretrained(tiny_folder, asr=asr)
    samples = noise(16000 * 3)
    for entry in hears.timeline(samples, window=1, batch_size=2, return_correction=True, return_embeddings=True):
        start = round(16000 * entry["start"])
        assert entry["text"] == asr(samples[start : start + 16000])["text"].strip() != ""
        assert {"marked", "correction", "embeddings"} <= set(entry)


def test_segments_are_the_recognizers(tiny_folder, classify, whisper):
    hears = M4SERPipeline.from_pretrained(tiny_folder, asr=whisper)
    samples = noise(16000 * WINDOW_SECONDS)
    heard = ASRTranscriber(whisper, 16000, "cpu").segments(samples)
    entries = hears(samples, window="segments")["timeline"]
    assert (
        heard
        and [(round(16000 * entry["start"]), round(16000 * entry["end"]), entry["text"]) for entry in entries] == heard
    )
    for (start, end, text), entry in zip(heard, entries, strict=True):
        assert_same(entry["scores"], classify({"raw": samples[start:end], "sampling_rate": 16000, "text": text}))


def test_what_was_asked_of_a_recording_is_asked_of_its_timeline(classify):
    answer = classify(noise(32000), window=1, top_k=1, abstain_below=0.99)
    for part in (answer, *answer["timeline"]):
        assert len(part["scores"]) == 1 and part["label"] is None


def test_of_many_one_that_cannot_be_used_gives_an_error(classify, tmp_path):
    nan = np.append(noise(40000), np.nan)
    inputs = [
        noise(32000),
        str(tmp_path / "gone.wav"),
        nan,
        {"raw": noise(9), "sampling_rate": 16000, "text": "hi"},
    ]
    for answers in (classify(inputs, window=1), list(classify((item for item in inputs), window=1))):
        assert len(answers[0]["timeline"]) == 2
        for answer, reason in zip(answers[1:], ("no such file", "NaN", "what was said when"), strict=True):
            assert reason in answer["error"]
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
        ({"window": "segments"}, "Segments are a recognizer's"),
    ],
)
def test_a_window_that_cannot_be_is_refused(classify, options, reason):
    with pytest.raises(ValueError, match=reason):
        classify(noise(16000), **options)


def test_three_hours_are_cut_as_they_are_decoded(hours):
    starts = []

    def run():
        starts.extend(start for start, _ in windows(stream_audio(hours), 160_000, 160_000))

    assert peak_growth(run) < 100  # all of it takes 659
    assert starts == list(range(0, 3 * 3600 * 16000, 160_000))


def test_memory_does_not_grow_with_the_length(classify, tmp_path):
    minutes = 30
    write_silence(tmp_path / "silence.flac", minutes)
    answers = [classify(np.zeros(16000 * 100), window=10, batch_size=2)]  # what windows take is taken

    def run():
        answers.append(classify(str(tmp_path / "silence.flac"), window=10, batch_size=2))

    assert peak_growth(run) < 60  # all of it takes 110
    timeline = answers[1]["timeline"]
    assert [entry["start"] for entry in timeline] == list(range(0, 60 * minutes, 10))
    assert timeline[-1]["end"] == 60 * minutes
    assert_scores(answers[1]["scores"])


def test_three_hours_are_refused_before_they_are_decoded(classify, hours):
    def run():
        answers = classify([str(hours), noise(16000)])
        assert "silence.flac: the recording is longer than 120 s" in answers[0]["error"]
        assert_scores(answers[1])

    assert peak_growth(run) < 100
