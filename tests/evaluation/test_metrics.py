"""Each measure against a case worked by hand and against scikit-learn on random input."""

import evaluate
import numpy as np
import pytest
from scipy.stats import binned_statistic
from sklearn import metrics as sklearn_metrics

from m4ser.evaluation import metrics

# Three recordings of class 0 (two right), one of class 1 (right), none of class 2 (predicted once).
REFERENCES = [0, 0, 0, 1]
PREDICTIONS = [0, 0, 2, 1]


def test_the_measures_of_a_case_worked_by_hand():
    assert metrics.accuracy(PREDICTIONS, REFERENCES) == 0.75
    assert metrics.weighted_accuracy(PREDICTIONS, REFERENCES) == 0.75
    # Recalls 2/3 and 1; class 2 does not occur and has none.
    assert metrics.unweighted_accuracy(PREDICTIONS, REFERENCES) == pytest.approx((2 / 3 + 1) / 2)
    # F1 of class 0: precision 1, recall 2/3 -> 4/5; of class 1: 1; weights 3/4 and 1/4.
    assert metrics.weighted_f1(PREDICTIONS, REFERENCES) == pytest.approx(0.75 * 0.8 + 0.25)
    matrix = metrics.confusion_matrix(PREDICTIONS, REFERENCES, num_labels=4)
    assert matrix.tolist() == [[2, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]


def test_the_calibration_error_of_a_case_worked_by_hand():
    # Two bins: .4 and .5 (one right of two) differ by .05, .6 and 1 (both right) by .2; half the recordings each.
    probabilities = [[0.4, 0.3, 0.3], [0.25, 0.5, 0.25], [0.6, 0.2, 0.2], [0, 0, 1]]
    assert metrics.expected_calibration_error(probabilities, [0, 0, 0, 2], bins=2) == pytest.approx(0.125)
    # One bin: 3/4 right, .625 sure.
    assert metrics.expected_calibration_error(probabilities, [0, 0, 0, 2], bins=1) == pytest.approx(0.125)
    assert metrics.expected_calibration_error([[1.0, 0.0]] * 4, [1, 1, 1, 0]) == pytest.approx(0.75)
    assert metrics.expected_calibration_error([[0.75, 0.25]] * 4, [0, 0, 0, 1]) == 0


@pytest.mark.parametrize("seed", range(10))
def test_calibration_error_equals_definition(seed):
    generator = np.random.default_rng(seed)
    probabilities = generator.dirichlet(np.full(4, 0.3), size=1 + 40 * seed)
    references = generator.integers(0, 4, size=len(probabilities))
    confidence, right = probabilities.max(1), probabilities.argmax(1) == references
    count, accuracy, sure = (
        np.nan_to_num(binned_statistic(confidence, values, statistic, bins=15, range=(0, 1)).statistic)
        for values, statistic in ((confidence, "count"), (right, "mean"), (confidence, "mean"))
    )
    expected = np.sum(count / len(references) * np.abs(accuracy - sure))
    assert metrics.expected_calibration_error(probabilities, references) == pytest.approx(expected)


@pytest.mark.parametrize("scores", [[[2.0, -1.0]], [[np.nan, 0.5]], [[0.3, 1.7]]])
def test_calibration_error_needs_probabilities(scores):
    with pytest.raises(ValueError, match="take the softmax of logits first"):
        metrics.expected_calibration_error(scores, [0])


@pytest.mark.filterwarnings("ignore:y_pred contains classes")
@pytest.mark.parametrize("seed", range(20))
def test_the_measures_agree_with_scikit_learn(seed):
    generator = np.random.default_rng(seed)
    references = generator.integers(0, 2 + seed % 5, size=1 + 5 * seed)
    predictions = generator.integers(0, 7, size=len(references))
    ours = metrics.evaluate_predictions(predictions, references, num_labels=7)
    assert ours["n"] == len(references)
    assert ours["weighted_accuracy"] == pytest.approx(sklearn_metrics.accuracy_score(references, predictions))
    assert ours["unweighted_accuracy"] == pytest.approx(
        sklearn_metrics.balanced_accuracy_score(references, predictions)
    )
    assert ours["weighted_f1"] == pytest.approx(
        sklearn_metrics.f1_score(references, predictions, average="weighted", zero_division=0)
    )
    matrix = sklearn_metrics.confusion_matrix(references, predictions, labels=range(7))
    assert ours["confusion_matrix"] == matrix.tolist()


def test_majority_class_scores():
    references = [0] * 7 + [1] * 2 + [2]
    assert metrics.weighted_accuracy([0] * 10, references) == 0.7
    assert metrics.unweighted_accuracy([0] * 10, references) == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    "measure",
    [metrics.accuracy, metrics.unweighted_accuracy, metrics.weighted_f1, metrics.confusion_matrix],
)
def test_what_cannot_be_scored_is_refused(measure):
    with pytest.raises(ValueError, match="references are empty"):
        measure([], [])
    with pytest.raises(ValueError, match="2 predictions for 3 references"):
        measure([0, 1], [0, 1, 2])
    with pytest.raises(ValueError, match="argmax"):
        measure([[0.2, 0.8]], [1])


@pytest.mark.parametrize("predictions", [[0, 4], [0, -1]])
def test_an_index_that_is_no_class_is_refused(predictions):
    with pytest.raises(ValueError, match=r"must lie in 0\.\.3"):
        metrics.confusion_matrix(predictions, [0, 1], num_labels=4)


@pytest.mark.parametrize(
    ("hypotheses", "references", "expected"),
    [
        (["the cat sat"], ["the cat sat"], 0),
        (["the bat sat down"], ["the cat sat"], 2 / 3),
        ([""], ["the cat sat"], 1),
        # The corpus's errors over the corpus's words, not the mean of the recordings' rates (here 1/2).
        (["a b c", "x"], ["a b c", "y"], 1 / 4),
        # An empty reference adds no words, and the words of its hypothesis are insertions.
        (["noise here", "a b"], ["", "a b"], 1),
        (["", "a b"], [" ", "a b"], 0),
        (["a\tb"], ["a  b "], 0),
    ],
)
def test_word_error_rate(hypotheses, references, expected):
    assert metrics.word_error_rate(hypotheses, references) == pytest.approx(expected)


def test_a_word_error_rate_without_words_is_refused():
    with pytest.raises(ValueError, match="without a single word"):
        metrics.word_error_rate(["noise"], [""])
    with pytest.raises(ValueError, match="references are empty"):
        metrics.word_error_rate([], [])
    with pytest.raises(ValueError, match="1 hypotheses for 2 references"):
        metrics.word_error_rate(["a"], ["a", "b"])


def test_evaluate_metrics_equal_functions(tmp_path):
    classes = [metrics.WeightedAccuracy, metrics.UnweightedAccuracy, metrics.WeightedF1]
    together = evaluate.combine([cls(cache_dir=str(tmp_path)) for cls in classes])
    together.add_batch(predictions=PREDICTIONS[:2], references=REFERENCES[:2])
    together.add_batch(predictions=PREDICTIONS[2:], references=REFERENCES[2:])
    assert together.compute() == {
        "weighted_accuracy": metrics.weighted_accuracy(PREDICTIONS, REFERENCES),
        "unweighted_accuracy": metrics.unweighted_accuracy(PREDICTIONS, REFERENCES),
        "weighted_f1": metrics.weighted_f1(PREDICTIONS, REFERENCES),
    }


def test_the_word_error_rate_as_an_evaluate_metric(tmp_path):
    metric = metrics.WordErrorRate(cache_dir=str(tmp_path))
    assert metric.compute(predictions=["a x"], references=["a b"]) == {"word_error_rate": 0.5}
