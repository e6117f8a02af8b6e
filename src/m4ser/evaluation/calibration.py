"""Temperature scaling, so that scores are probabilities: `m4ser calibrate`.

Guo et al., "On Calibration of Modern Neural Networks", 2017.
"""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from transformers.dynamic_module_utils import custom_object_save

from m4ser.data.loading import load_dataset
from m4ser.evaluation.metrics import expected_calibration_error
from m4ser.evaluation.run_data import is_dataset_of, pick, run_partition
from m4ser.evaluation.scoring import classify_rows
from m4ser.model.base_m4ser import EmotionModel
from m4ser.model.pipeline_m4ser import M4SERPipeline
from m4ser.model.saving_m4ser import saved_together
from m4ser.run_folder import read_results, update_results

# The best temperature of a model that is always right on validation data would be 0.
TEMPERATURES = (0.05, 20.0)
ERROR, LOSS = "expected_calibration_error", "negative_log_likelihood"


def calibrate_run(run: str | Path, dataset: str | Path, batch_size: int = 8) -> dict[str, Any]:
    """Fit the temperature on a run's validation split; keep it in RUN/config.json, and its effect in results.json.

    The predicted emotions stay the same, their scores change. A temperature that does not lower the negative
    log-likelihood of the validation split is not kept: it is 1 then, and the scores stay, too.

    Args:
        run: folder of a finished run. dataset: folder or Hub id of what it was trained on.

    Returns:
        The entry "calibration" of results.json: the temperature, and by split the expected calibration error
        and the mean negative log-likelihood (nats) before and after.

    Raises:
        ValueError: no finished run, one whose epoch was chosen on the test recordings, so that nothing is left to
            calibrate on, or another dataset than the run's. DataError: no such dataset, or one that does not fit the
            run.
    """
    results = read_results(run)
    data = results["config"]["data"]
    if data.get("protocol") == "paper":
        raise ValueError(
            f"{run} chose its epoch on the test recordings; train it by another protocol to calibrate it."
        )
    corpus = load_dataset(dataset)
    if not is_dataset_of(run, results, dataset, corpus):
        raise ValueError(
            f"{dataset} is not the dataset of {run}, which is {data['dataset']}: a temperature of other recordings "
            "says nothing about its scores."
        )
    _, splits = run_partition(results, corpus)
    chosen = {split: pick(splits, split, dataset) for split in ("validation", "test")}
    pipeline = M4SERPipeline.from_pretrained(run)
    pipeline.model.config.calibration_temperature = 1.0
    measured = {
        split: classify_rows(pipeline, rows, data["text_column"], batch_size, function_to_apply="none")
        for split, rows in chosen.items()
    }
    temperature = fit_temperature(*measured["validation"])
    if not _lowers_loss(temperature, *measured["validation"]):
        temperature = 1.0
    calibration: dict[str, Any] = {
        "temperature": temperature,
        "splits": {
            split: {
                "n": len(references),
                "before": confidence_scores(logits, references),
                "after": confidence_scores(logits / temperature, references),
            }
            for split, (logits, references) in measured.items()
        },
    }
    _keep_temperature(run, temperature, pipeline.model)
    update_results(run, calibration=calibration)
    _warn_of_error(calibration["splits"]["validation"])
    return calibration


def _keep_temperature(run: str | Path, temperature: float, model: EmotionModel) -> None:
    """Write a temperature that was fitted to a run's model into its config."""
    config = type(model.config).from_pretrained(run)
    config.calibration_temperature = temperature
    config.calibrated_weights = None if temperature == 1 else model.fingerprint()
    with saved_together(run) as folder:
        config.save_pretrained(folder)
        custom_object_save(model, folder)  # a folder of an earlier version would not apply the temperature


def _lowers_loss(temperature: float, logits: np.ndarray, references: np.ndarray) -> bool:
    before, after = (confidence_scores(scaled, references)[LOSS] for scaled in (logits, logits / temperature))
    return after < before


def _warn_of_error(scores: Mapping[str, Any]) -> None:
    before, after = scores["before"][ERROR], scores["after"][ERROR]
    if after > before:
        warnings.warn(
            "The scores are likelier now, but their calibration error on the validation split rose from "
            f"{before:.3f} to {after:.3f}: of few recordings it is a rough measure.",
            stacklevel=3,
        )


def confidence_scores(logits: np.ndarray, references: np.ndarray) -> dict[str, float]:
    """Compute the expected calibration error and mean negative log-likelihood of logits (n, e)."""
    log_probabilities = log_softmax(logits)
    return {
        ERROR: expected_calibration_error(np.exp(log_probabilities), references),
        LOSS: float(-np.mean(log_probabilities[np.arange(len(references)), references])),
    }


def fit_temperature(logits: np.ndarray, references: np.ndarray) -> float:
    """Find the temperature by which logits (n, e) are to be divided for the highest likelihood of the references (n,).

    The negative log-likelihood is convex in 1 / temperature, so that bisection on its slope finds the minimum.
    """
    logits = np.asarray(logits, dtype=np.float64)
    right = logits[np.arange(len(references)), references]
    low, high = TEMPERATURES
    for _ in range(60):
        middle = (low * high) ** 0.5
        expected = (np.exp(log_softmax(logits / middle)) * logits).sum(-1)
        low, high = (middle, high) if np.mean(expected - right) > 0 else (low, middle)
    return float(middle)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Compute log-probabilities of logits (n, e)."""
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
