"""Criteria and thresholds of the published list on predictions whose measures are known."""

import numpy as np
import pytest
from sklearn.metrics import precision_score, recall_score

from m4ser.evaluation.robustness.criteria import (
    Criterion,
    all_criteria,
    correctness,
    fairness,
    precision_recall,
    robustness,
    with_chance,
)

NAMES = ("angry", "happy", "sad")
LABELS = np.array([0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2])
PREDICTIONS = np.array([0, 0, 0, 1, 1, 1, 0, 0, 2, 1, 1, 1])


def values(criteria):
    return {criterion.name: (criterion.value, criterion.passed) for criterion in criteria}


def test_precision_and_recall_equal_scikit_learn():
    found = precision_recall(LABELS, PREDICTIONS, 3)
    expected = [score(LABELS, PREDICTIONS, average=None, zero_division=0) for score in (precision_score, recall_score)]
    np.testing.assert_allclose(found, expected)


def test_class_without_recordings_is_not_measured():
    precision, recall = precision_recall(np.array([0, 1]), np.array([0, 2]), 4)
    np.testing.assert_array_equal(precision, [1, 0, np.nan, np.nan])
    np.testing.assert_array_equal(recall, [1, 0, np.nan, np.nan])
    found = values(correctness(np.array([0, 1]), np.array([0, 1]), NAMES))
    assert found["recall of sad"] == (None, None) and found["UAR"] == (1, True)


def test_correctness_by_hand():
    found = values(correctness(LABELS, PREDICTIONS, NAMES))
    assert found["recall of angry"] == (0.75, True) and found["recall of sad"] == (0.25, False)
    assert found["precision of happy"] == (pytest.approx(2 / 6), False) and found["UAR"] == (0.5, True)
    # 6 of 12 predictions are happy, 4 recordings are: a sixth too many.
    assert found["share of happy"] == (pytest.approx(1 / 6), False)
    assert found["share of angry"] == (pytest.approx(1 / 12), True)


def test_fairness_by_hand():
    sexes = ["female", "male"] * 6
    found = values(fairness(LABELS, PREDICTIONS, NAMES, sexes))
    # Of the four angry recordings three are recognized; of the two by women both.
    assert found["recall of angry, female"] == (pytest.approx(0.25), False)
    female = LABELS[::2], PREDICTIONS[::2]
    difference = abs(recall_score(*female, average="macro") - recall_score(LABELS, PREDICTIONS, average="macro"))
    assert found["UAR, female"] == (pytest.approx(difference), bool(difference <= 0.075))


def test_robustness_by_group():
    changed = PREDICTIONS.copy()
    changed[0] = 2
    small = robustness("small changes", "gain", LABELS, PREDICTIONS, changed, 3)
    assert values(small) == {"unchanged, gain": (pytest.approx(11 / 12), False)}
    noise = values(robustness("background noise", "music", LABELS, PREDICTIONS, changed, 3))
    assert noise["unchanged, music"][1] is True
    assert noise["change of UAR, music"] == (pytest.approx(-0.25 / 3), False)
    same = values(robustness("spectral tilt", "upward", LABELS, PREDICTIONS, PREDICTIONS, 3))
    assert all(passed for _, passed in same.values()) and same["change of UAP, upward"][0] == 0


def test_chance_of_meeting_a_criterion():
    labels = np.arange(300) % 3
    changed = {("small changes", "gain"): (labels, labels), ("background noise", "music"): (labels, labels)}
    sexes = ["female"] * 150 + ["male"] * 150
    criteria = with_chance(all_criteria(labels, labels, changed, NAMES, sexes), labels, changed, NAMES, sexes)
    chance = {criterion.name: criterion.chance for criterion in criteria}
    assert all(criterion.passed for criterion in criteria)
    assert chance["recall of sad"] == chance["unchanged, gain"] == 0
    assert chance["share of sad"] == 1 and chance["change of UAR, music"] > 0.7
    assert 0.3 < chance["UAR, female"] <= 1
    assert criteria == with_chance(all_criteria(labels, labels, changed, NAMES, sexes), labels, changed, NAMES, sexes)


@pytest.mark.parametrize(
    ("value", "threshold", "most", "passed"),
    [
        (0.475 - 0.525, -0.05, False, True),  # -0.05000000000000004
        (0.47 - 0.525, -0.05, False, False),
        (0.3 - 0.15, 0.15, True, True),
        (0.1 + 0.05, 0.15, True, True),  # 0.15000000000000002
        (0.16, 0.15, True, False),
        (None, 0.5, False, None),
    ],
)
def test_value_on_the_threshold_passes(value, threshold, most, passed):
    assert Criterion("a group", "a name", value, threshold, most).passed is passed
