"""What is given beside an input is honored or refused."""

import numpy as np
import pytest

from m4ser import M4SERPipeline
from m4ser.model.inputs_m4ser import with_options

TEXT = "ask not what your country can do"


@pytest.fixture(scope="module")
def classify(tiny_folder):
    return M4SERPipeline.from_pretrained(tiny_folder)


@pytest.fixture(scope="module")
def samples():
    return 0.3 * np.random.default_rng(0).standard_normal(22_050).astype(np.float32)


def test_rate_beside_samples_is_honored(classify, samples):
    row = {"array": samples, "sampling_rate": 22_050, "text": TEXT}
    expected = classify(row)
    assert classify(samples, sampling_rate=22_050, text=TEXT) == expected
    assert classify([samples, samples], sampling_rate=22_050, text=[TEXT, TEXT]) == [expected, expected]
    assert classify(samples, text=TEXT) != expected  # at the model's rate


def test_text_beside_a_path_is_honored(classify, shared_data):
    path = str(shared_data / "asr_speech" / "jfk.flac")
    assert classify(path, text=TEXT) == classify({"path": path, "text": TEXT})
    assert classify({"path": path}, text=TEXT) == classify({"path": path, "text": TEXT})


def test_list_of_numbers_is_one_recording(classify, samples):
    assert classify(samples.tolist(), text=TEXT) == classify(samples, text=TEXT)


@pytest.mark.parametrize(
    ("recording", "reason"),
    [(np.zeros(16_000), "silent"), (np.full(16_000, 0.7), "silent"), (np.ones(96), "shorter than 0.1 s")],
)
def test_recording_without_speech_is_flagged(classify, recording, reason):
    with pytest.warns(UserWarning, match=f"A recording is {reason}: its scores mean nothing"):
        assert len(classify(recording, text=TEXT)) == 4
    assert classify(recording, text=TEXT, return_transcript=True)["warning"] == reason


def test_faint_speech_is_not_flagged(classify, samples):
    assert "warning" not in classify(samples / 1000, text=TEXT, return_transcript=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"return_corection": True}, "no option return_corection; did you mean return_correction"),
        ({"abstain": 0.99}, "no option abstain; did you mean abstain_below"),
        ({"bananas": 1}, "no option bananas; it takes return_transcript"),
    ],
)
def test_unknown_options_are_errors(options, message, classify, samples, tiny_folder):
    with pytest.raises(TypeError, match=message):
        classify(samples, **options)
    with pytest.raises(TypeError, match=message):
        M4SERPipeline.from_pretrained(tiny_folder, **options)
    with pytest.raises(TypeError, match=message):
        list(classify.timeline({"array": samples, "sampling_rate": 22_050, "text": ""}, window=0.5, **options))


@pytest.mark.parametrize(
    ("inputs", "rate", "text", "message"),
    [
        ("a.wav", 16_000, None, "a file brings its own"),
        ({"path": "a.wav"}, 16_000, None, "a dict holds it"),
        ({"path": "a.wav", "text": "so"}, None, "other", "has a text of its own"),
        ({"path": "a.wav", "hypothesis": "so"}, None, "other", "has a text of its own"),
        (["a.wav", "b.wav"], None, "so", "give 2 of them for as many recordings"),
        (["a.wav", "b.wav"], None, ["so"], "give 2 of them"),
        ("a.wav", None, ["so"], "a string for one recording"),
    ],
)
def test_what_does_not_fit_is_refused(inputs, rate, text, message):
    with pytest.raises(TypeError, match=message):
        with_options(inputs, rate, text)
