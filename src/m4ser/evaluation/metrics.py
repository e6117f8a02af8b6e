"""Measures of speech emotion recognition and of its transcripts: pure functions and `evaluate` metrics.

Predictions and references are sequences of class indices, one a recording. The functions are the definition;
the `evaluate.Metric` classes at the end only give them the Hugging Face interface, without the network.
"""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import datasets
import evaluate
import numpy as np

from m4ser.data.word_errors import count_word_errors

Indices = Sequence[int] | np.ndarray


def accuracy(predictions: Indices, references: Indices) -> float:
    """Return the share of the recordings whose emotion is right, in 0..1."""
    predictions, references = _as_indices(predictions, references)
    return float(np.mean(predictions == references))


def weighted_accuracy(predictions: Indices, references: Indices) -> float:
    """Return plain accuracy, WA in the emotion literature.

    The field calls it weighted because it is the mean of the classes' recalls, each weighted by how often the
    class occurs. Elsewhere "weighted accuracy" often means the opposite, the balanced one: that is
    `unweighted_accuracy` here.
    """
    return accuracy(predictions, references)


def unweighted_accuracy(predictions: Indices, references: Indices) -> float:
    """Return the mean recall over the classes in the references, UA or UAR: every emotion counts the same."""
    predictions, references = _as_indices(predictions, references)
    recalls = [np.mean(predictions[references == label] == label) for label in np.unique(references)]
    return float(np.mean(recalls))


def weighted_f1(predictions: Indices, references: Indices) -> float:
    """Return the F1 of each class, averaged with the classes' frequencies in the references as weights."""
    matrix = confusion_matrix(predictions, references)
    support, predicted = matrix.sum(axis=1), matrix.sum(axis=0)
    # A class that is neither there nor predicted has F1 0/0; its weight is 0.
    f1 = 2 * np.diag(matrix) / np.maximum(support + predicted, 1)
    return float(np.average(f1, weights=support))


def confusion_matrix(predictions: Indices, references: Indices, num_labels: int | None = None) -> np.ndarray:
    """Count pairs, in an array of shape (num_labels, num_labels): rows are references, columns predictions.

    Raises:
        ValueError: empty or unequal input, or an index outside 0..num_labels - 1.
    """
    predictions, references = _as_indices(predictions, references)
    highest = int(max(predictions.max(), references.max()))
    num_labels = highest + 1 if num_labels is None else num_labels
    if highest >= num_labels or min(predictions.min(), references.min()) < 0:
        raise ValueError(f"Class indices must lie in 0..{num_labels - 1}; check the labels' names and order.")
    matrix = np.zeros((num_labels, num_labels), dtype=np.int64)
    np.add.at(matrix, (references, predictions), 1)
    return matrix


def expected_calibration_error(
    probabilities: Sequence[Sequence[float]] | np.ndarray, references: Indices, bins: int = 15
) -> float:
    """Compute the ECE: how far confidence is from accuracy, averaged over the recordings in bins of confidence.

    Confidence is the highest probability; the bins are equally wide and each holds its upper edge. Naeini et al. 2015;
    15 bins as in Guo et al., "On Calibration of Modern Neural Networks", 2017.

    Args:
        probabilities: (n, e). references: n class indices.

    Returns:
        In 0..1; 0 where the model is right as often as it says.
    """
    probabilities = np.asarray(probabilities, dtype=np.float64)
    predictions, references = _as_indices(probabilities.argmax(axis=-1), references)
    confidence = probabilities.max(axis=-1)
    if not (np.isfinite(probabilities).all() and probabilities.min() >= 0 and confidence.max() <= 1 + 1e-6):
        raise ValueError("Calibration is measured on probabilities in 0..1; take the softmax of logits first.")
    bin_of = np.digitize(confidence, np.linspace(0, 1, bins + 1)[1:-1], right=True)
    # |accuracy - confidence| of a bin times its share of the recordings
    gaps = np.bincount(bin_of, weights=(predictions == references) - confidence)
    return float(np.abs(gaps).sum() / len(references))


def evaluate_predictions(predictions: Indices, references: Indices, num_labels: int) -> dict[str, Any]:
    """Compute every emotion measure at once, as plain numbers and lists that JSON can hold."""
    return {
        "n": len(references),
        "weighted_accuracy": weighted_accuracy(predictions, references),
        "unweighted_accuracy": unweighted_accuracy(predictions, references),
        "weighted_f1": weighted_f1(predictions, references),
        "confusion_matrix": confusion_matrix(predictions, references, num_labels).tolist(),
    }


def word_error_rate(hypotheses: Sequence[str], references: Sequence[str]) -> float:
    """Divide substitutions, deletions and insertions by the number of reference words, over the whole corpus.

    Words are separated by white space and compared as they are: normalize both sides first. A recording whose
    reference is empty adds no words, and every word of its hypothesis is an insertion.

    Raises:
        ValueError: no recordings, unequal numbers of them, or not one reference word among them.
    """
    _check_pairs(hypotheses, references, "hypotheses")
    errors, words = count_word_errors(hypotheses, references)
    if not words:
        raise ValueError("The word error rate of references without a single word is undefined.")
    return errors / words


def _as_indices(predictions: Indices, references: Indices) -> tuple[np.ndarray, np.ndarray]:
    _check_pairs(predictions, references, "predictions")
    predictions, references = np.asarray(predictions), np.asarray(references)
    for indices in (predictions, references):
        if indices.ndim != 1 or indices.dtype.kind not in "iu":
            raise ValueError("Class indices must be one integer a recording; take the argmax of scores first.")
    return predictions.astype(np.int64), references.astype(np.int64)


def _check_pairs(given: Any, references: Any, what: str) -> None:
    if len(given) != len(references):
        raise ValueError(f"{len(given)} {what} for {len(references)} references; there must be one for each.")
    if len(references) == 0:
        raise ValueError("There is nothing to score: the references are empty.")


class _PureMetric(evaluate.Metric):
    """A function (predictions, references) -> number as an `evaluate.Metric`, under its own name."""

    function: ClassVar[Callable[..., float]]
    dtype = "int64"

    def _info(self) -> evaluate.MetricInfo:
        features = datasets.Features(
            {"predictions": datasets.Value(self.dtype), "references": datasets.Value(self.dtype)}
        )
        return evaluate.MetricInfo(
            description=type(self).function.__doc__, citation="", inputs_description="", features=features
        )

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        function = type(self).function
        return {function.__name__: function(predictions, references)}


class WeightedAccuracy(_PureMetric):
    """`weighted_accuracy` as an `evaluate.Metric`."""

    function = staticmethod(weighted_accuracy)


class UnweightedAccuracy(_PureMetric):
    """`unweighted_accuracy` as an `evaluate.Metric`."""

    function = staticmethod(unweighted_accuracy)


class WeightedF1(_PureMetric):
    """`weighted_f1` as an `evaluate.Metric`."""

    function = staticmethod(weighted_f1)


class WordErrorRate(_PureMetric):
    """`word_error_rate` as an `evaluate.Metric`; predictions are the hypotheses."""

    function = staticmethod(word_error_rate)
    dtype = "string"
