"""A saved model on a split: the pipeline\'s predictions, scored."""

import json

import datasets
import pytest

from m4ser import DataError, M4SERPipeline
from m4ser.data.builders.writing import write_dataset
from m4ser.data.schema import Utterance
from m4ser.data.synthetic import EMOTIONS
from m4ser.evaluation.metrics import evaluate_predictions, expected_calibration_error
from m4ser.evaluation.scoring import score_split


@pytest.fixture
def corpus(tiny_run):
    return str(tiny_run.parent / "corpus")


def write_rows(folder, emotion="angry", audio=b"not audio"):
    row = Utterance(id="clip 7", audio=audio, path="clip.wav", emotion=emotion, duration=1.0, split="test")
    write_dataset([row], [emotion], folder, title="Rows", description="One row.")
    return str(folder)


@pytest.mark.parametrize("text_column", ["hypothesis", "transcript"])
def test_scores_equal_pipeline_predictions(tiny_run, corpus, text_column):
    classify, rows = M4SERPipeline.from_pretrained(tiny_run), datasets.load_dataset(corpus, split="test")
    outputs = [classify({**row["audio"], "text": row[text_column]}) for row in rows]
    best = [EMOTIONS.index(output[0]["label"]) for output in outputs]
    expected = evaluate_predictions(best, rows["emotion"][:], len(EMOTIONS))
    scores = score_split(tiny_run, corpus, "test", batch_size=5, text_column=text_column)
    probabilities = [
        [{item["label"]: item["score"] for item in output}[name] for name in EMOTIONS] for output in outputs
    ]
    error = expected_calibration_error(probabilities, rows["emotion"][:])
    assert scores.pop("expected_calibration_error") == pytest.approx(error, abs=1e-5)
    assert scores.pop("evaluated_on")["text_column"] == text_column
    assert scores.pop("labels") == list(EMOTIONS)
    assert scores == expected and expected["n"] == 12


@pytest.mark.parametrize("split", ["validation", "test"])
def test_results_of_a_run_are_reproduced(tiny_run, corpus, split):
    results = json.loads((tiny_run / "results.json").read_text())["splits"][split]
    scores = score_split(tiny_run, corpus, split)
    assert 0 <= scores.pop("expected_calibration_error") <= 1  # training does not measure it
    assert scores.pop("evaluated_on")["protocol"] == "held_out"
    assert scores.pop("labels") == json.loads((tiny_run / "results.json").read_text())["labels"]
    assert scores.items() <= results.items()


def test_missing_dataset_split_or_model_is_named(tiny_run, corpus, tmp_path):
    with pytest.raises(DataError, match="no split 'dev'; it has train, validation, test"):
        score_split(tiny_run, corpus, "dev")
    with pytest.raises(DataError, match=f"There is no dataset {tmp_path}/gone"):
        score_split(tiny_run, f"{tmp_path}/gone")
    with pytest.raises(DataError, match="has no column words"):
        score_split(tiny_run, corpus, text_column="words")
    with pytest.raises(ValueError, match=f"There is no model {tmp_path}/gone: no such folder"):
        score_split(f"{tmp_path}/gone", corpus)


def test_unusable_row_is_named(tiny_run, tmp_path):
    with pytest.raises(DataError, match=r"clip 7: clip\.wav: not an audio file"):
        score_split(tiny_run, write_rows(tmp_path / "broken"))


def test_unknown_labels_are_named(tiny_run, tmp_path):
    with pytest.raises(DataError, match="does not know calm; it knows angry, happy, sad, neutral"):
        score_split(tiny_run, write_rows(tmp_path / "strange", emotion="calm"))
