"""Rows of predictions, and which recordings a command line names."""

import numpy as np
import pytest
import soundfile

from m4ser import M4SERPipeline
from m4ser.inference.predicting import find_recordings, load_pipeline, predict_rows


@pytest.fixture
def recording(tmp_path):
    soundfile.write(tmp_path / "a.flac", 0.3 * np.random.default_rng(0).standard_normal(40000), 16000)
    return str(tmp_path / "a.flac")


def test_find_recordings_searches_folders_only(tmp_path):
    (tmp_path / "deeper").mkdir()
    for name in ("b.WAV", "deeper/a.mp3", "notes.txt"):
        (tmp_path / name).touch()
    found = [str(tmp_path / name) for name in ("b.WAV", "deeper/a.mp3")]
    assert find_recordings(["-", "gone.txt", str(tmp_path)]) == ["-", "gone.txt", *found]
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"There is no recording in .*empty"):
        find_recordings([str(tmp_path / "empty")])


def test_rows_are_the_pipelines_predictions(tiny_folder, recording):
    classify = M4SERPipeline.from_pretrained(tiny_folder)
    row, error = predict_rows(classify, [recording, "gone.wav"], text="so heart", batch_size=2)
    expected = {item["label"]: item["score"] for item in classify({"path": recording, "text": "so heart"})}
    label = max(expected, key=expected.get)
    scores = {"scores": pytest.approx(expected), "calibrated": False}
    assert row == {"path": recording, "label": label, **scores, "text": "so heart"}
    assert error == {"path": "gone.wav", "error": "gone.wav: there is no such file; check the path."}


def test_texts_are_corrected(tiny_folder, recording):
    classify = M4SERPipeline.from_pretrained(tiny_folder)
    (row,) = predict_rows(classify, [recording], text="so heart", correct=True)
    expected = classify({"path": recording, "text": "so heart"}, return_correction=True)
    assert (row["text"], row["correction"]) == ("so heart", expected["correction"])
    (row,) = predict_rows(classify, [recording], text="", windows={"window": 1, "hop": None}, correct=True)
    assert all({"text", "correction"} <= set(entry) for entry in row["timeline"])


def test_model_that_cannot_correct_is_named(tiny_folder, recording):
    classify = M4SERPipeline.from_pretrained(tiny_folder)
    classify.model.error_corrector = None
    with pytest.raises(ValueError, match="--correct needs a model that was trained to correct"):
        next(predict_rows(classify, [recording], text="so heart", correct=True))


def test_silence_and_clicks_are_flagged(tiny_folder, recording, tmp_path):
    soundfile.write(tmp_path / "silence.wav", np.zeros(16000), 16000)
    soundfile.write(tmp_path / "click.wav", 0.3 * np.ones(96) * (-1.0) ** np.arange(96), 16000)
    files = [str(tmp_path / "silence.wav"), str(tmp_path / "click.wav"), recording]
    rows = list(predict_rows(M4SERPipeline.from_pretrained(tiny_folder), files, text="so heart", batch_size=3))
    assert [row.get("warning") for row in rows] == ["silent", "shorter than 0.1 s", None]


def test_rows_with_windows_have_a_timeline(tiny_folder, recording):
    classify = M4SERPipeline.from_pretrained(tiny_folder)
    row, error = predict_rows(classify, [recording, "gone.wav"], windows={"window": 1, "hop": None}, abstain_below=1)
    assert [(entry["start"], entry["end"]) for entry in row["timeline"]] == [(0, 1), (1, 2), (2, 2.5)]
    assert {part["label"] for part in (row, *row["timeline"])} == {None}
    assert set(error) == {"path", "error"}
    assert row["text"] == ""  # of an ASR model that there is not
    (row,) = predict_rows(classify, [recording], text="", windows={"window": 1, "hop": 0.5})
    assert "text" not in row


def test_rows_say_whether_scores_are_calibrated(tiny_folder, recording):
    classify = M4SERPipeline.from_pretrained(tiny_folder)
    classify.model.config.calibration_temperature = 2.0
    (row,) = predict_rows(classify, [recording], text="so heart")
    assert row["calibrated"] is True


def test_dtype_is_refused_for_onnx(tiny_folder):
    with pytest.raises(ValueError, match="--dtype is of the backend torch"):
        load_pipeline(tiny_folder, "onnx", "bfloat16")
