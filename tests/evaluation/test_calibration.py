"""The temperature, against an optimizer that knows nothing of ours, and what it leaves in a run's folder."""

import json
import shutil

import datasets
import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from transformers import AutoModel, AutoProcessor

from m4ser import DataError, M4SERPipeline
from m4ser.evaluation.calibration import (
    ERROR,
    TEMPERATURES,
    _warn_of_error,
    calibrate_run,
    confidence_scores,
    fit_temperature,
)
from m4ser.evaluation.metrics import expected_calibration_error
from tests.isolated_process import run_isolated
from tests.tiny_corpus import write_tiny_corpus

SCORES_OUTSIDE = """
from transformers import pipeline

classify = pipeline("audio-classification", model=sys.argv[1], trust_remote_code=True)
print(json.dumps([item["score"] for item in classify({"path": sys.argv[2], "text": "so"})]))
"""


def likelihood(logits, references, temperature):
    chosen = log_softmax(logits / temperature, axis=-1)[np.arange(len(references)), references]
    return -chosen.mean()


@pytest.mark.parametrize("sharpness", [0.3, 1.0, 4.0])
def test_temperature_equals_scipy_minimum(sharpness):
    generator = np.random.default_rng(0)
    logits = generator.standard_normal((500, 5))
    probabilities = np.exp(log_softmax(logits, axis=-1))
    references = np.array([generator.choice(5, p=row) for row in probabilities])
    logits = sharpness * logits
    found = minimize_scalar(lambda log: likelihood(logits, references, np.exp(log)), bounds=(-3, 3), method="bounded")
    assert fit_temperature(logits, references) == pytest.approx(np.exp(found.x), rel=1e-4)
    assert fit_temperature(logits, references) == pytest.approx(sharpness, rel=0.15)
    assert confidence_scores(logits, references)["negative_log_likelihood"] == pytest.approx(
        likelihood(logits, references, 1.0)
    )


def test_temperature_stays_within_bounds():
    logits = np.eye(3) * 5
    assert fit_temperature(logits, np.arange(3)) == pytest.approx(TEMPERATURES[0])
    assert fit_temperature(logits, np.roll(np.arange(3), 1)) == pytest.approx(TEMPERATURES[1])


@pytest.fixture(scope="module")
def calibrated(tiny_run, tmp_path_factory):
    """A copy of the run, calibrated, and what its config was before."""
    run = tmp_path_factory.mktemp("calibrated") / "run"
    shutil.copytree(tiny_run, run, ignore=shutil.ignore_patterns("checkpoints"))
    (run / "pipeline_m4ser.py").write_text("# of a version that knew no temperature\n")
    return run, calibrate_run(run, str(tiny_run.parent / "corpus"))


def test_results_hold_calibration_errors(tiny_run, calibrated):
    run, calibration = calibrated
    assert json.loads((run / "results.json").read_text())["calibration"] == calibration
    model, processor = AutoModel.from_pretrained(tiny_run).eval(), AutoProcessor.from_pretrained(tiny_run)
    for split, size in (("validation", 8), ("test", 12)):
        rows = datasets.load_dataset(str(tiny_run.parent / "corpus"), split=split)
        logits = model(**processor([row["audio"] for row in rows], rows["hypothesis"][:])).logits.detach().double()
        references, measured = np.array(rows["emotion"][:]), calibration["splits"][split]
        for temperature, scores in ((1.0, measured["before"]), (calibration["temperature"], measured["after"])):
            probabilities = (logits / temperature).softmax(-1).numpy()
            error = expected_calibration_error(probabilities, references)
            assert scores["expected_calibration_error"] == pytest.approx(error, abs=1e-5)
        assert measured["n"] == size
    validation = calibration["splits"]["validation"]
    assert validation["after"]["negative_log_likelihood"] <= validation["before"]["negative_log_likelihood"]


def test_only_temperature_changes_and_is_reproduced(tiny_run, calibrated):
    run, calibration = calibrated
    before, after = (json.loads((folder / "config.json").read_text()) for folder in (tiny_run, run))
    fingerprint = AutoModel.from_pretrained(tiny_run).fingerprint()
    assert after == before | {
        "calibration_temperature": calibration["temperature"],
        "calibrated_weights": fingerprint,
    }
    assert (run / "model.safetensors").read_bytes() == (tiny_run / "model.safetensors").read_bytes()
    assert calibrate_run(run, str(tiny_run.parent / "corpus")) == calibration


def test_temperature_that_lowers_no_loss_is_not_kept(tiny_run, tmp_path):
    """A network that says the same of every recording and emotion is as likely at every temperature."""
    shutil.copytree(tiny_run, tmp_path / "run")
    model = AutoModel.from_pretrained(tmp_path / "run")
    with torch.no_grad():
        model.classifier.weight.zero_(), model.classifier.bias.zero_()
    model.save_pretrained(tmp_path / "run")
    calibration = calibrate_run(tmp_path / "run", str(tiny_run.parent / "corpus"))
    assert calibration["temperature"] == 1
    assert calibration["splits"]["validation"]["before"] == calibration["splits"]["validation"]["after"]
    assert json.loads((tmp_path / "run" / "config.json").read_text())["calibration_temperature"] == 1


def scale_head(model):
    with torch.no_grad():
        model.classifier.weight.mul_(2)


def test_temperature_goes_with_its_weights(calibrated, tmp_path, caplog):
    run, calibration = calibrated
    model = AutoModel.from_pretrained(run)
    model.save_pretrained(tmp_path / "same")
    assert AutoModel.from_pretrained(tmp_path / "same").config.calibration_temperature == calibration["temperature"]
    scale_head(model)
    model.save_pretrained(tmp_path / "changed")
    changed = AutoModel.from_pretrained(tmp_path / "changed").config
    assert (changed.calibration_temperature, changed.calibrated_weights) == (1, None)


def test_weights_without_a_temperature_are_not_hashed(tiny_run, tmp_path, monkeypatch):
    model = AutoModel.from_pretrained(tiny_run)
    monkeypatch.setattr(type(model), "fingerprint", None)
    model.save_pretrained(tmp_path)
    assert (tmp_path / "model.safetensors").is_file()


def test_temperature_of_other_weights_is_refused(calibrated, tmp_path):
    run, _ = calibrated
    shutil.copytree(run, tmp_path / "run")
    model = AutoModel.from_pretrained(run)
    scale_head(model)
    model.save_pretrained(tmp_path / "other")
    shutil.copy(tmp_path / "other" / "model.safetensors", tmp_path / "run")
    with pytest.raises(ValueError, match="was fitted to other weights: run `m4ser calibrate` again"):
        M4SERPipeline.from_pretrained(tmp_path / "run")
    M4SERPipeline.from_pretrained(run, dtype="bfloat16")  # the same weights, rounded


def test_rising_error_is_said():
    scores = {"before": {ERROR: 0.109}, "after": {ERROR: 0.151}}
    with pytest.warns(UserWarning, match=r"rose from 0\.109 to 0\.151"):
        _warn_of_error(scores)


def test_other_dataset_is_refused(tiny_run, tmp_path):
    other = write_tiny_corpus(tmp_path / "other")
    before = (tiny_run / "config.json").read_text()
    with pytest.raises(ValueError, match=r"other is not the dataset of .*, which is .*corpus: a temperature of other"):
        calibrate_run(tiny_run, str(other))
    assert (tiny_run / "config.json").read_text() == before


def test_scores_are_calibrated_without_m4ser(calibrated, shared_data, tmp_path):
    run, _ = calibrated
    path = str(shared_data / "asr_speech" / "jfk.flac")
    expected = [item["score"] for item in M4SERPipeline.from_pretrained(run)({"path": path, "text": "so"})]
    assert run_isolated(SCORES_OUTSIDE, run, path, HF_HOME=str(tmp_path)) == expected


def test_uncalibratable_runs_are_refused(tiny_run, tmp_path):
    corpus = str(tiny_run.parent / "corpus")
    with pytest.raises(ValueError, match=r"there is no results\.json; give the folder of a finished run"):
        calibrate_run(tmp_path, corpus)
    results = json.loads((tiny_run / "results.json").read_text())
    results["config"]["data"]["protocol"] = "paper"
    (tmp_path / "results.json").write_text(json.dumps(results))
    with pytest.raises(ValueError, match="chose its epoch on the test recordings"):
        calibrate_run(tmp_path, corpus)
    with pytest.raises(DataError, match="There is no dataset"):
        calibrate_run(tiny_run, f"{tmp_path}/gone")
