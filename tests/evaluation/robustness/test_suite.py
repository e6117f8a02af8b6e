"""The test list on a trained tiny model, and through the command."""

import json

import numpy as np
import pytest

from m4ser.data.schema import DataError
from m4ser.evaluation.robustness import audio_perturbations
from m4ser.evaluation.robustness.suite import RobustnessEvaluator, robustness_of, summary
from m4ser.evaluation.scoring import score_split


@pytest.fixture(scope="module")
def corpus(tiny_run):
    return str(tiny_run.parent / "corpus")


@pytest.fixture(scope="module")
def results(tiny_run, corpus):
    return robustness_of(str(tiny_run), corpus)


def test_every_demand_of_the_list_is_there(results):
    groups = {}
    for check in results["checks"]:
        groups.setdefault(check["group"], []).append(check)
    # The synthetic corpus does not know sexes; four emotions.
    assert {name: len(members) for name, members in groups.items()} == {
        "correctness": 4 + 4 + 2 + 4,
        "small changes": 10,
        "background noise": 6 * 3,
        "low-quality phone": 3,
        "room": 2,
        "spectral tilt": 2 * 3,
    }
    assert all(0 <= check["chance"] <= 1 for check in results["checks"])
    assert results["n"] == 12 and json.loads(json.dumps(results)) == results


def test_the_texts_run_from_none_wrong_to_all_wrong(results, tiny_run, corpus):
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


def test_each_recording_is_changed_by_its_own_draw_and_heard(tiny_run, corpus, monkeypatch):
    listener = RobustnessEvaluator(str(tiny_run), corpus, "test", 4, seed=0)
    heard = []
    monkeypatch.setattr(listener, "answer", lambda recordings: heard.append(recordings))
    listener.hear(audio_perturbations.gain)
    listener.hear(audio_perturbations.babble)
    gains, babbles = heard
    levels = [np.std(new) / np.std(old) for new, old in zip(gains, listener.recordings, strict=True)]
    assert {round(20 * float(np.log10(level))) for level in levels} == {-2, -1, 1, 2}
    assert all(len(new) == len(old) for new, old in zip(babbles, listener.recordings, strict=True))


def test_the_summary_counts_and_names(results):
    text = summary(results)
    failed = [check for check in results["checks"] if check["passed"] is False]
    assert "| small changes |" in text and "| WER 50 % |" in text
    assert all(f"| {check['group']}: {check['name']} |" in text for check in failed)


def test_what_is_missing_is_named(tiny_run, corpus, tmp_path):
    with pytest.raises(DataError, match="no split 'dev'"):
        robustness_of(str(tiny_run), corpus, split="dev")
    with pytest.raises(DataError, match="gone"):
        robustness_of(str(tiny_run), str(tmp_path / "gone"))
