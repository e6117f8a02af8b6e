"""All criteria on a trained tiny model."""

import json

import numpy as np
import pytest

from m4ser.data.schema import DataError
from m4ser.evaluation.robustness import audio_perturbations
from m4ser.evaluation.robustness.suite import RobustnessEvaluator, robustness_of, summarize
from m4ser.evaluation.scoring import score_split


@pytest.fixture(scope="module")
def corpus(tiny_run):
    return str(tiny_run.parent / "corpus")


@pytest.fixture(scope="module")
def results(tiny_run, corpus):
    return robustness_of(str(tiny_run), corpus)


def test_all_criteria_are_measured(results):
    groups = {}
    for criterion in results["criteria"]:
        groups.setdefault(criterion["group"], []).append(criterion)
    # The synthetic corpus does not know sexes; four emotions.
    assert {name: len(members) for name, members in groups.items()} == {
        "correctness": 4 + 4 + 2 + 4,
        "small changes": 10,
        "background noise": 6 * 3,
        "low-quality phone": 3,
        "room": 2,
        "spectral tilt": 2 * 3,
    }
    assert all(0 <= criterion["chance"] <= 1 for criterion in results["criteria"])
    assert results["n"] == 12 and json.loads(json.dumps(results)) == results


def test_texts_from_no_error_to_all_wrong(results, tiny_run, corpus):
    names = [f"WER {rate} %" for rate in range(0, 101, 10)]
    assert list(results["texts"]) == [
        "text as it is",
        *names,
        "text missing",
        "text of another recording",
        "audio missing",
    ]
    for name, column in (("text as it is", "hypothesis"), ("WER 0 %", "transcript")):
        expected = score_split(str(tiny_run), corpus, text_column=column)
        assert results["texts"][name] == {measure: expected[measure] for measure in results["texts"][name]}


def test_each_recording_is_perturbed_by_its_own_draw(tiny_run, corpus, monkeypatch):
    evaluator = RobustnessEvaluator(str(tiny_run), corpus, "test", 4, seed=0)
    given = []
    monkeypatch.setattr(evaluator, "predict", lambda recordings: given.append(recordings))
    evaluator.predict_audio(audio_perturbations.gain)
    evaluator.predict_audio(audio_perturbations.babble)
    gains, babbles = given
    levels = [np.std(new) / np.std(old) for new, old in zip(gains, evaluator.recordings, strict=True)]
    assert {round(20 * float(np.log10(level))) for level in levels} == {-2, -1, 1, 2}
    assert all(len(new) == len(old) for new, old in zip(babbles, evaluator.recordings, strict=True))


def test_summary_counts_and_names(results):
    text = summarize(results)
    failed = [criterion for criterion in results["criteria"] if criterion["passed"] is False]
    assert "| small changes |" in text and "| WER 50 % |" in text
    assert all(f"| {criterion['group']}: {criterion['name']} |" in text for criterion in failed)


def test_missing_dataset_or_split_is_named(tiny_run, corpus, tmp_path):
    with pytest.raises(DataError, match="no split 'dev'"):
        robustness_of(str(tiny_run), corpus, split="dev")
    with pytest.raises(DataError, match="gone"):
        robustness_of(str(tiny_run), str(tmp_path / "gone"))
