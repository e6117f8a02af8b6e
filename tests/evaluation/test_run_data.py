"""A model is evaluated on the partition that its run had, or on a dataset's own splits, and says which."""

import json
import shutil
import warnings
from dataclasses import replace

import pytest

from m4ser import DataError
from m4ser.data.builders.writing import write_dataset
from m4ser.data.loading import load_dataset
from m4ser.evaluation.calibration import calibrate_run
from m4ser.evaluation.latency import measure_latency
from m4ser.evaluation.protocols import k_shot, partition
from m4ser.evaluation.robustness.suite import RobustnessEvaluator
from m4ser.evaluation.run_data import OWN_SPLITS, select_rows
from m4ser.evaluation.scoring import score_split
from m4ser.run_folder import update_results, write_predictions
from tests.tiny_corpus import LABELS, utterances, write_sessions

SESSIONS = 3


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """All of it in `train`, as IEMOCAP is."""
    return write_sessions(tmp_path_factory.mktemp("sessions") / "corpus", SESSIONS)


@pytest.fixture(scope="module")
def loso_run(tiny_run, corpus, tmp_path_factory):
    return as_run_of(tiny_run, corpus, tmp_path_factory.mktemp("loso") / "run", protocol="loso", fold=2)


def as_run_of(run, corpus, folder, **data):
    """A copy of a run that says it was trained on a corpus by another protocol."""
    shutil.copytree(run, folder, ignore=shutil.ignore_patterns("checkpoints"))
    config = json.loads((run / "results.json").read_text())["config"]
    config["data"] |= {"dataset": str(corpus), **data}
    parts = partition(load_dataset(corpus), data.get("protocol", "held_out"), data.get("fold"))
    update_results(folder, config=config, protocol=parts.name)
    rows = [{"id": name, "label": 0, "prediction": 1} for name in parts.splits["test"]["id"]]
    write_predictions(folder, {"test": rows}, LABELS)
    return folder


def sessions_of(rows):
    return set(rows["session"])


def test_loso_run_is_evaluated_on_its_own_session(loso_run, corpus):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        selected = select_rows(loso_run, corpus)
        scores = score_split(loso_run, corpus)
    assert sessions_of(selected.rows) == {"2"}
    assert scores["n"] == len(selected.rows)
    assert scores["evaluated_on"] == {
        "dataset": str(corpus),
        "split": "test",
        "protocol": "loso, fold 2 of 3",
        "fold": 2,
        "text_column": "hypothesis",
        "training_recordings": False,
    }
    assert sessions_of(select_rows(loso_run, corpus, "validation").rows) == {"3"}


def test_training_split_is_said_aloud(loso_run, corpus):
    with pytest.warns(UserWarning, match=f"The split train is what {loso_run} was trained on"):
        selected = select_rows(loso_run, corpus, "train")
    assert sessions_of(selected.rows) == {"1"}
    assert selected.evaluated_on["training_recordings"] is True


def test_latency_and_robustness_take_the_test_session(loso_run, corpus):
    found = measure_latency(loso_run, corpus, recordings=100)
    tested = select_rows(loso_run, corpus).rows
    assert found["utterances"] == len(tested) and found["evaluated_on"]["protocol"] == "loso, fold 2 of 3"
    assert json.loads((loso_run / "latency.json").read_text()) == found
    evaluator = RobustnessEvaluator(str(loso_run), str(corpus), "test", 4, seed=0)
    assert list(evaluator.ids) == tested["id"][:] and evaluator.evaluated_on == found["evaluated_on"]


def test_human_text_of_the_run_is_used(tiny_run, corpus, tmp_path):
    run = as_run_of(tiny_run, corpus, tmp_path / "run", protocol="loso", fold=1, text_column="transcript")
    selected = select_rows(run, corpus)
    assert selected.text_column == selected.evaluated_on["text_column"] == "transcript"
    evaluator = RobustnessEvaluator(str(run), str(corpus), "test", 4, seed=0)
    assert evaluator.hypotheses == selected.rows["transcript"][:]


def test_other_dataset_has_its_own_splits(loso_run, tmp_path):
    other, rows = tmp_path / "other", (replace(row, id=f"other-{row.id}") for row in utterances())
    write_dataset(rows, LABELS, other, title="Other", description="Noises.")
    with pytest.warns(UserWarning, match=f"{other} is not the dataset of {loso_run}, which is"):
        selected = select_rows(loso_run, other)
    assert selected.evaluated_on["protocol"] == OWN_SPLITS and selected.evaluated_on["fold"] is None
    assert selected.evaluated_on["training_recordings"] is False
    assert len(selected.rows) == 4


def test_model_without_results_has_own_splits_too(loso_run, corpus, tmp_path):
    model = shutil.copytree(loso_run, tmp_path / "model", ignore=shutil.ignore_patterns("results.json"))
    with (
        pytest.warns(UserWarning, match=r"has no results\.json here"),
        pytest.raises(DataError, match=r"no split 'test'; it has train"),
    ):
        select_rows(model, corpus)
    with pytest.warns(UserWarning, match=OWN_SPLITS):
        selected = select_rows(model, corpus, "train")
    assert selected.evaluated_on["training_recordings"] is None
    assert selected.evaluated_on["protocol"] == OWN_SPLITS


def test_shots_are_not_validated_on(tiny_run, corpus, tmp_path):
    run = as_run_of(tiny_run, corpus, tmp_path / "run", protocol="loso", fold=1, shots=1)
    parts = k_shot(partition(load_dataset(corpus), "loso", 1), 1)
    assert select_rows(run, corpus, "validation").rows["id"][:] == parts.splits["validation"]["id"][:]
    calibrated = calibrate_run(run, str(corpus))
    assert calibrated["splits"]["validation"]["n"] == len(parts.splits["validation"])
