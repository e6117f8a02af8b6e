"""Transcription in batches and in segments, by an ASR model that is loaded when it is first needed."""

import pytest
from transformers import pipeline

from m4ser.model.asr_m4ser import ASRTranscriber
from tests.assertions import noise
from tests.tiny_whisper import WINDOW_SECONDS

RATE = 16000


def test_truth_value_needs_no_loading(whisper):
    assert not ASRTranscriber(None, RATE, "cpu")
    assert ASRTranscriber("org/gone", RATE, "cpu")
    assert ASRTranscriber(whisper, RATE, "cpu").window == WINDOW_SECONDS * RATE


def test_too_short_waveforms_get_empty_texts(whisper):
    asr = pipeline("automatic-speech-recognition", whisper)
    waveforms = [noise(1), noise(RATE, 1), noise(399), noise(400, 2), noise(0)]
    texts = ASRTranscriber(asr, RATE, "cpu").transcribe(waveforms)
    assert texts == ["", asr(waveforms[1])["text"].strip(), "", asr(waveforms[3])["text"].strip(), ""]
    assert ASRTranscriber("org/gone", RATE, "cpu").transcribe([noise(1)]) == [""]


@pytest.mark.parametrize("seed", range(4))
def test_segments_follow_whispers_timestamps(whisper, seed):
    asr = pipeline("automatic-speech-recognition", whisper)
    samples = noise(WINDOW_SECONDS * RATE, seed)
    chunks = asr(samples, return_timestamps=True)["chunks"]
    segments = ASRTranscriber(asr, RATE, "cpu").segments(samples)
    times = [time for start, end, _ in segments for time in (start, end)]
    assert times == sorted(times) and times[0] >= 0 and times[-1] <= len(samples)
    assert all(start < end for start, end, _ in segments)
    ends = {chunk["text"].strip(): chunk["timestamp"][1] for chunk in chunks}
    for _, end, text in segments:
        assert end == (len(samples) if ends[text] is None else min(round(ends[text] * RATE), len(samples)))


def test_segments_need_whisper(whisper):
    asr = pipeline("automatic-speech-recognition", whisper)
    asr.feature_extractor = object()  # as of an ASR model with no window of its own
    with pytest.raises(ValueError, match="Only Whisper gives segments"):
        ASRTranscriber(asr, RATE, "cpu").segments(noise(RATE))


def test_batches_are_of_like_length_and_keep_order(whisper):
    asr = pipeline("automatic-speech-recognition", whisper, num_beams=1)
    seconds = (0.5, 2.0, 0.6, 1.9, 2.5, 0.7)
    waveforms = [noise(int(length * RATE), seed) for seed, length in enumerate(seconds)]
    alone = [ASRTranscriber(asr, RATE, "cpu").transcribe([waveform])[0] for waveform in waveforms]
    assert len(set(alone)) > 4, "texts that are alike would hide a mix-up"
    sizes = []
    asr.model.get_encoder().register_forward_hook(lambda encoder, inputs, output: sizes.append(len(output[0])))
    assert ASRTranscriber(asr, RATE, "cpu").transcribe(waveforms, batch_size=3) == alone
    assert sizes[:2] == [3, 2]  # the longest is beyond the window, and alone


def test_own_model_decodes_greedily_and_given_pipeline_as_set(whisper):
    greedy = pipeline("automatic-speech-recognition", whisper, num_beams=1)
    beams = pipeline("automatic-speech-recognition", whisper)
    waveforms = [noise(RATE, seed) for seed in range(4)]
    expected = [[asr(waveform)["text"].strip() for waveform in waveforms] for asr in (greedy, beams)]
    assert expected[0] != expected[1]
    assert [ASRTranscriber(asr, RATE, "cpu").transcribe(waveforms) for asr in (whisper, beams)] == expected
