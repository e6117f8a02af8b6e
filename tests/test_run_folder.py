"""The files of a run's folder: what is written is read back, and what cannot be read is named."""

import csv
import json

import numpy as np
import pytest

from m4ser import run_folder
from tests.finished_runs import LABELS, finished_run


@pytest.fixture
def run(tmp_path):
    return finished_run(tmp_path / "run")


def test_results_are_read_back(run):
    results = run_folder.read_results(run)
    run_folder.write_results(run, {**results, "name": "é"})
    assert run_folder.read_results(run) == {**results, "name": "é"}


def test_update_changes_only_its_entries(run):
    before = run_folder.read_results(run)
    run_folder.update_results(run, calibration={"temperature": 2.0}, name="other")
    assert run_folder.read_results(run) == {**before, "calibration": {"temperature": 2.0}, "name": "other"}


def test_discarded_run_is_unfinished(run, tmp_path):
    assert run_folder.is_finished(run) and run_folder.find_folders(tmp_path) == ([run], [])
    run_folder.discard_results(run)
    run_folder.discard_results(run)  # once is enough
    assert not run_folder.is_finished(run) and run_folder.find_folders(tmp_path) == ([], [run])
    with pytest.raises(ValueError, match=r"run: there is no results\.json; give the folder of a finished run"):
        run_folder.read_results(run)


@pytest.mark.parametrize("name", [*run_folder.REQUIRED, "splits.test", "splits.test.n", "splits.test.weighted_f1"])
def test_missing_entry_is_named(run, name):
    results = run_folder.read_results(run)
    *groups, last = name.split(".")
    entry = results
    for group in groups:
        entry = entry[group]
    del entry[last]
    run_folder.write_results(run, results)
    with pytest.raises(ValueError, match=rf"results\.json: not a finished run.*{last}"):
        run_folder.read_results(run)


def test_optional_json_may_be_missing_but_not_malformed(run):
    assert run_folder.read_json(run, run_folder.LATENCY) is None
    run_folder.write_json(run, run_folder.LATENCY, {"milliseconds": 1.5})
    assert run_folder.read_json(run, run_folder.LATENCY) == {"milliseconds": 1.5}
    (run / run_folder.LATENCY).write_text("{")
    with pytest.raises(ValueError, match=r"latency\.json: not JSON"):
        run_folder.read_json(run, run_folder.LATENCY)


def test_predictions_are_sorted_and_read_back_by_split(tmp_path):
    rows = {
        "validation": [{"id": "v", "label": 0, "prediction": 0, "probabilities": [0.9, 0.1, 0.0, 0.0]}],
        "test": [
            {"id": "b", "label": 1, "prediction": 2, "probabilities": [0.1, 0.2, 0.7000004, 0.0]},
            {"id": "a", "label": 3, "prediction": 3, "probabilities": [0.0, 0.0, 0.0, 1.0]},
        ],
    }
    run_folder.write_predictions(tmp_path, rows, LABELS)
    with open(tmp_path / "predictions.csv", newline="") as file:
        written = list(csv.reader(file))
    assert written[0] == ["id", "split", "label", "prediction", *LABELS]
    assert [row[0] for row in written[1:]] == ["v", "a", "b"] and written[3][6] == "0.7"
    assert run_folder.read_predictions(tmp_path, LABELS) == {"a": (3, 3), "b": (1, 2)}
    assert run_folder.read_predictions(tmp_path, LABELS, "validation") == {"v": (0, 0)}


def test_predictions_without_probabilities(tmp_path):
    assert run_folder.read_predictions(tmp_path, LABELS) is None
    run_folder.write_predictions(tmp_path, {"test": [{"id": "a", "label": 1, "prediction": 0}]}, LABELS)
    assert (tmp_path / "predictions.csv").read_text().splitlines() == [
        "id,split,label,prediction",
        "a,test,happy,angry",
    ]
    assert run_folder.read_predictions(tmp_path, LABELS) == {"a": (1, 0)}


def test_unlogged_value_is_nan(run):
    (run / "metrics.csv").write_text("step,total,generator\n1,0.5,\n2,0.25,3\n")
    columns = run_folder.read_columns(run, run_folder.METRICS, ["step"])
    np.testing.assert_array_equal(columns["total"], [0.5, 0.25])
    np.testing.assert_array_equal(columns["generator"], [np.nan, 3])


def test_results_stay_where_writing_fails(run):
    before = (run / "results.json").read_text()
    with pytest.raises(TypeError):
        run_folder.update_results(run, calibration=object())
    assert (run / "results.json").read_text() == before and json.loads(before)


def test_measurements_of_other_weights_are_refused(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"one")
    run_folder.write_measured(tmp_path, run_folder.LATENCY, {"milliseconds": 3}, tmp_path)
    assert run_folder.read_measured(tmp_path, run_folder.LATENCY)["milliseconds"] == 3
    (tmp_path / "model.safetensors").write_bytes(b"two")
    with pytest.raises(ValueError, match=r"latency\.json: measured with other weights; measure it again"):
        run_folder.read_measured(tmp_path, run_folder.LATENCY)


def test_measurements_without_known_weights_are_read(tmp_path):
    """Such as those of an earlier version, or of a model on the Hub."""
    assert run_folder.read_measured(tmp_path, run_folder.LATENCY) is None
    run_folder.write_json(tmp_path, run_folder.LATENCY, {"milliseconds": 3})
    (tmp_path / "model.safetensors").write_bytes(b"one")
    assert run_folder.read_measured(tmp_path, run_folder.LATENCY) == {"milliseconds": 3}


def test_digest_is_of_all_weights(tmp_path):
    assert run_folder.weights_digest(tmp_path) is None
    for name in ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"):
        (tmp_path / name).write_bytes(name.encode())
    whole = run_folder.weights_digest(tmp_path)
    (tmp_path / "model-00002-of-00002.safetensors").write_bytes(b"other")
    assert run_folder.weights_digest(tmp_path) not in (None, whole)
