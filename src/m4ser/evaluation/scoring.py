"""A saved model on a split of a data set."""

import datasets

from m4ser.data.schema import DataError
from m4ser.evaluation.metrics import evaluate_predictions
from m4ser.model.pipeline_m4ser import M4SERPipeline


def score_split(model, dataset, split="test", batch_size=8, text_column="hypothesis"):
    """Classify every row of a split.

    Args:
        model, dataset: folders or Hub ids. text_column: "hypothesis", or "transcript" (Table VI).

    Returns:
        [`evaluate_predictions`]'s dict.

    Raises:
        DataError: no such data set, split or column, a row that cannot be used, or emotions that the model does not
            know.
    """
    try:
        rows = datasets.load_dataset(dataset, split=split)
    except (FileNotFoundError, ConnectionError, ValueError) as error:
        raise DataError(f"There is no split {split!r} of a data set {dataset!r}: {error}") from error
    missing = [column for column in ("id", "audio", "emotion", text_column) if column not in rows.column_names]
    if missing:
        raise DataError(f"{dataset} has no column {', '.join(missing)}: build it with datasets_builders.")
    classify = M4SERPipeline.from_pretrained(model)
    names, known = rows.features["emotion"].names, classify.model.config.label2id
    strangers = sorted(set(names) - set(known))
    if strangers:
        raise DataError(f"{model} does not know {', '.join(strangers)}; it knows {', '.join(known)}.")
    inputs = ({**row["audio"], "text": row[text_column] or ""} for row in rows)
    predictions = []
    for row_id, answer in zip(rows["id"], classify(inputs, batch_size=batch_size, top_k=1), strict=True):
        if isinstance(answer, dict):
            raise DataError(f"{row_id}: {answer['error']}")
        predictions.append(known[answer[0]["label"]])
    references = [known[names[emotion]] for emotion in rows["emotion"]]
    return evaluate_predictions(predictions, references, len(known))
