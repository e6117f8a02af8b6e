"""A saved model on a split of a dataset."""

import numpy as np

from m4ser.data.loading import load_dataset
from m4ser.data.schema import DataError
from m4ser.evaluation.metrics import evaluate_predictions, expected_calibration_error
from m4ser.model.pipeline_m4ser import M4SERPipeline


def score_split(model, dataset, split="test", batch_size=8, text_column="hypothesis"):
    """Classify every row of a split.

    Args:
        model, dataset: folders or Hub ids. text_column: "hypothesis", or "transcript" (Table VI).

    Returns:
        [`evaluate_predictions`]'s dict and the `expected_calibration_error` of the pipeline's scores.

    Raises:
        DataError: no such dataset, split or column, a row that cannot be used, or emotions that the model does not
            know.
    """
    rows = load_dataset(dataset, split)
    classify = M4SERPipeline.from_pretrained(model)
    scores, references = classify_rows(classify, rows, text_column, batch_size)
    return {
        **evaluate_predictions(scores.argmax(-1), references, scores.shape[-1]),
        "expected_calibration_error": expected_calibration_error(scores, references),
    }


def classify_rows(classify, rows, text_column="hypothesis", batch_size=8, **options):
    """Put every row to a pipeline.

    Args:
        classify: [`M4SERPipeline`]. rows: with id, audio, emotion and the text column. options: of the pipeline.

    Returns:
        Scores (n, e) and references (n,), both in the order of the model's labels.

    Raises:
        DataError: no such column, a row that cannot be used, or emotions that the model does not know.
    """
    missing = [column for column in ("id", "audio", "emotion", text_column) if column not in rows.column_names]
    if missing:
        raise DataError(f"The dataset has no column {', '.join(missing)}: build it with datasets_builders.")
    names, known = rows.features["emotion"].names, classify.model.config.label2id
    strangers = sorted(set(names) - set(known))
    if strangers:
        raise DataError(f"The model does not know {', '.join(strangers)}; it knows {', '.join(known)}.")
    inputs = ({**row["audio"], "text": row[text_column] or ""} for row in rows)
    scores = np.empty((len(rows), len(known)))
    answers = classify(inputs, batch_size=batch_size, **options)
    for row_id, row, answer in zip(rows["id"], scores, answers, strict=True):
        if isinstance(answer, dict):
            raise DataError(f"{row_id}: {answer['error']}")
        for item in answer:
            row[known[item["label"]]] = item["score"]
    return scores, np.array([known[names[emotion]] for emotion in rows["emotion"]])
