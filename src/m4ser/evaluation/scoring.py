"""Score a saved model on a split of a dataset: `m4ser evaluate`."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np

from m4ser.data.schema import OWN_TEXT, DataError
from m4ser.evaluation.metrics import evaluate_predictions, expected_calibration_error
from m4ser.evaluation.run_data import select_rows
from m4ser.model.pipeline_m4ser import M4SERPipeline


def score_split(
    model: str | Path,
    dataset: str | Path,
    split: str = "test",
    batch_size: int = 8,
    text_column: str | None = None,
) -> dict[str, Any]:
    """Classify every row of a split, as the model's run split the dataset.

    Args:
        model, dataset: folders or Hub ids. text_column: "hypothesis" or "transcript"; the run's by default.

    Returns:
        [`evaluate_predictions`]'s dict, the `labels` of its confusion matrix (rows: true, columns: predicted), the
        `expected_calibration_error` of the pipeline's scores, and `evaluated_on`, as of [`select_rows`].

    Raises:
        DataError: no such dataset, split or column, a row that cannot be used, or emotions that the model does not
            know.
    """
    selected = select_rows(model, dataset, split, text_column)
    pipeline = M4SERPipeline.from_pretrained(model)
    scores, references = classify_rows(pipeline, selected.rows, selected.text_column, batch_size)
    return {
        "labels": sorted(known := known_labels(pipeline), key=known.__getitem__),
        **evaluate_predictions(scores.argmax(-1), references, scores.shape[-1]),
        "expected_calibration_error": expected_calibration_error(scores, references),
        "evaluated_on": selected.evaluated_on,
    }


def classify_rows(
    pipeline: M4SERPipeline,
    rows: datasets.Dataset,
    text_column: str = "hypothesis",
    batch_size: int = 8,
    **options: Any,
) -> tuple[np.ndarray, np.ndarray]:
    """Classify every row by a pipeline.

    Args:
        rows: with id, audio, emotion and the text column; the hypotheses' word_confidences count where they are there.
        options: of the pipeline.

    Returns:
        Scores (n, e) and references (n,), both in the order of the model's labels.

    Raises:
        DataError: no such column, a row that cannot be used, or emotions that the model does not know.
    """
    columns = () if text_column == OWN_TEXT else (text_column,)
    check_columns(rows, ("id", "audio", "emotion", *columns))
    names, known = rows.features["emotion"].names, known_labels(pipeline)
    check_labels(names, known)
    inputs = (_pipeline_input(row, text_column) for row in rows)
    scores = np.empty((len(rows), len(known)))
    outputs = pipeline(inputs, batch_size=batch_size, **options)
    for row_id, row, output in zip(rows["id"], scores, outputs, strict=True):
        if isinstance(output, dict):
            raise DataError(f"{row_id}: {output['error']}")
        for item in output:
            row[known[item["label"]]] = item["score"]
    return scores, np.array([known[names[emotion]] for emotion in rows["emotion"]])


def text_of(row: Mapping[str, Any], text_column: str) -> str | None:
    """Return a row's text, empty where there is none; None where the network transcribes for itself."""
    return None if text_column == OWN_TEXT else row[text_column] or ""


def _pipeline_input(row: Mapping[str, Any], text_column: str) -> dict[str, Any]:
    confidences = row.get("word_confidences") if text_column == "hypothesis" else None
    return {**(row["audio"] or {}), "text": text_of(row, text_column), "word_confidences": confidences}


def known_labels(pipeline: M4SERPipeline) -> dict[str, int]:
    """Return {emotion: class index} of a pipeline's model."""
    return {str(label): int(index) for label, index in (pipeline.model.config.label2id or {}).items()}


def check_columns(rows: datasets.Dataset, columns: Sequence[str]) -> None:
    """Refuse a dataset that lacks one of these columns."""
    if missing := [column for column in columns if column not in rows.column_names]:
        raise DataError(f"The dataset has no column {', '.join(missing)}: build it with datasets_builders.")


def check_labels(labels: Collection[str], known: Collection[str]) -> None:
    """Refuse a dataset with emotions that the model does not know."""
    if unknown_labels := sorted(set(labels) - set(known)):
        raise DataError(f"The model does not know {', '.join(unknown_labels)}; it knows {', '.join(known)}.")
