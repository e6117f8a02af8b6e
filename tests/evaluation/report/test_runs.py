"""Runs are found and put together; what is missing, wrong or mixed up is named."""

import json

import pytest

from m4ser.evaluation.report.runs import Run, find_runs
from tests.finished_runs import finished_run, make_predictions, write_predictions


def folds(folder, count=5, seeds=(0,), leave_out=(), **changes):
    for seed in seeds:
        for fold in range(1, count + 1):
            if (fold, seed) not in leave_out:
                name = f"loso, fold {fold} of {count}"
                finished_run(folder / f"fold{fold}_seed{seed}", protocol=name, seed=seed, **changes)
    return folder


def test_folds_and_seeds_of_one_folder_are_a_group(tmp_path):
    folds(tmp_path / "runs" / "full", seeds=(0, 1))
    finished_run(tmp_path / "runs" / "alone")
    finished_run(tmp_path / "runs" / "seeds" / "seed0")
    finished_run(tmp_path / "runs" / "seeds" / "seed1", seed=1)
    groups, unfinished = find_runs([tmp_path / "runs"])
    assert [(group.name, len(group.runs)) for group in groups] == [("alone", 1), ("full", 10), ("seeds", 2)]
    assert unfinished == [] and groups[1].missing == []
    assert [(run.results["seed"], run.fold[0]) for run in groups[1].runs][:6] == [
        *((0, f) for f in range(1, 6)),
        (1, 1),
    ]


def test_groups_keep_order_and_count_runs_once(tmp_path):
    first, second = finished_run(tmp_path / "b"), finished_run(tmp_path / "a")
    groups, _ = find_runs([first, second, first])
    assert [group.name for group in groups] == ["b", "a"]


def test_equal_names_are_distinguished_by_folder(tmp_path):
    elsewhere = {"data": {"dataset": "data/elsewhere"}}
    for folder in ("x/full", "y/full", "y/again"):
        finished_run(tmp_path / "a" / folder, name="full")
    finished_run(tmp_path / "b" / "full", name="full", config=elsewhere)
    groups, _ = find_runs([tmp_path])
    assert [group.name for group in groups] == ["full (x/full)", "full (again)", "full (y/full)", "full"]


def test_missing_folds_and_unfinished_runs_are_named(tmp_path):
    folds(tmp_path / "full", seeds=(0, 1), leave_out=[(2, 0), (5, 1)])
    (tmp_path / "full" / "fold5_seed1").mkdir()
    (tmp_path / "full" / "fold5_seed1" / "metrics.csv").write_text("step\n1\n")
    (group,), unfinished = find_runs([tmp_path])
    assert group.missing == [(2, 0), (5, 1)]
    assert unfinished == [tmp_path / "full" / "fold5_seed1"]


def test_mixed_experiments_in_one_folder_are_refused(tmp_path):
    finished_run(tmp_path / "full" / "seed0")
    finished_run(tmp_path / "full" / "seed1", config={"objective": {"adversarial_weight": 0}})
    with pytest.raises(ValueError, match=r"seed1 and .*seed0 lie in one folder and differ in variant"):
        find_runs([tmp_path])


@pytest.mark.parametrize(
    ("text", "reason"),
    [("{", "not a finished run"), ("[]", "not a finished run"), ('{"name": "x", "splits": {}}', "'protocol'")],
)
def test_malformed_run_is_named(tmp_path, text, reason):
    (finished_run(tmp_path / "broken_run") / "results.json").write_text(text)
    with pytest.raises(ValueError, match=rf"broken_run.results.json.*{reason}"):
        find_runs([finished_run(tmp_path / "a"), tmp_path / "broken_run"])


def test_runs_without_test_figures_are_left_out(tmp_path):
    for name in ("validated", "tested"):
        finished_run(tmp_path / name)
    path = tmp_path / "validated" / "results.json"
    results = json.loads(path.read_text())
    results["splits"] = {"validation": results["splits"]["test"]}
    path.write_text(json.dumps(results))
    with pytest.warns(UserWarning, match=r"validated tested nothing .* and is left out"):
        groups, _ = find_runs([tmp_path])
    assert [group.name for group in groups] == ["tested"]
    with pytest.raises(ValueError, match="validated: its dataset has no test split"):
        find_runs([tmp_path / "validated"])


def test_folder_without_run_is_named(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"empty: there is no results\.json in it or below"):
        find_runs([finished_run(tmp_path / "a"), tmp_path / "empty"])
    with pytest.raises(ValueError, match="no run to report"):
        find_runs([])


def test_predictions_by_recording(tmp_path):
    tested = make_predictions(8, right=0.5)
    run = Run.read(finished_run(tmp_path / "a", tested))
    assert run.predictions == tested
    assert Run.read(finished_run(tmp_path / "b", tested, predictions=False)).predictions is None


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"x": (0, 1)}, "not the predictions that results.json was counted from"),
        ({**make_predictions(40), "recording-003": (0, 3)}, "its confusion matrix is not results.json's"),
    ],
)
def test_predictions_of_another_run_are_refused(tmp_path, wrong, reason):
    tested = {**make_predictions(40), "recording-003": (3, 0)}
    run = Run.read(finished_run(tmp_path / "a", tested))
    write_predictions(run.folder / "predictions.csv", wrong)
    with pytest.raises(ValueError, match=reason):
        _ = run.predictions


def test_malformed_or_repeated_prediction_is_named(tmp_path):
    run = Run.read(finished_run(tmp_path / "a"))
    path = run.folder / "predictions.csv"
    rows = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*rows, rows[1]]))
    with pytest.raises(ValueError, match="'recording-000' is there more than once"):
        _ = run.predictions
    path.write_text("".join(rows).replace("angry,angry", "furious,angry"))
    with pytest.raises(ValueError, match=r"not a table of predictions.*'furious'"):
        _ = run.predictions


def test_corpus_name_of_hub_id_and_folder(tmp_path):
    for dataset in ("data/iemocap", "org/iemocap", "/somewhere/iemocap/"):
        folder = finished_run(tmp_path / dataset.strip("/").replace("/", "-"), config={"data": {"dataset": dataset}})
        assert Run.read(folder).corpus == "iemocap"
    results = json.loads((folder / "results.json").read_text())
    del results["config"]["model"]  # a baseline is no network
    (folder / "results.json").write_text(json.dumps(results))
    assert Run.read(folder).variant is None
