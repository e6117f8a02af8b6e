"""Warnings about the runs of a report."""

from m4ser.evaluation.report.caveats import warnings
from m4ser.evaluation.report.result_tables import runs_table
from m4ser.evaluation.report.runs import find_runs
from tests.finished_runs import finished_run, make_predictions


def test_every_weakness_is_named(tmp_path):
    finished_run(tmp_path / "a", name="full")
    finished_run(tmp_path / "b", name="speech only", protocol="paper, fold 2 of 5")
    for seed in range(2):
        finished_run(tmp_path / "c" / f"seed{seed}", make_predictions(seed=seed), seed=seed)
    finished_run(tmp_path / "d", predictions=False, shared_transcripts={"test": 0.31}, name="scripted")
    (tmp_path / "seed3").mkdir()
    (tmp_path / "seed3" / "metrics.csv").write_text("step\n1\n")
    found = " ".join(warnings(*find_runs([tmp_path])))
    for sentence in (
        "speech only: the test session chose the epoch",
        "speech only: fold 1 of seed 0, fold 3 of seed 0",
        "seed3: a training that has not finished",
        "scripted: up to 31 % of the test recordings",
        "One seed only, so that the spread over seeds is unknown: full, speech only, scripted.",
        "No predictions.csv, so neither intervals nor paired tests: scripted.",
    ):
        assert sentence in found


def test_complete_runs_have_no_warning(tmp_path):
    for seed in range(2):
        finished_run(tmp_path / "c" / f"seed{seed}", make_predictions(seed=seed), seed=seed)
    assert warnings(*find_runs([tmp_path])) == []


def test_last_epoch_is_chosen_by_nobody(tmp_path):
    finished_run(tmp_path / "a", protocol="paper, fold 1 of 5", selection_metric="last")
    assert not any("chose the epoch" in sentence for sentence in warnings(find_runs([tmp_path])[0], []))
    (row,) = runs_table(find_runs([tmp_path])[0]).rows
    assert "2 of 3, the last by design" in row
