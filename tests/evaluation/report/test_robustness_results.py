"""Tables of robustness.json, and the runs without one."""

import json

import pytest

from m4ser.evaluation.report.page import by_corpus
from m4ser.evaluation.report.robustness_results import robustness_tables
from m4ser.evaluation.report.runs import find_runs
from tests.finished_runs import finished_run

CRITERIA = [
    {"group": "fairness", "passed": True, "chance": 0.5},
    {"group": "fairness", "passed": False, "chance": 0.25},
    {"group": "fairness", "passed": None, "chance": None},  # could not be measured
    {"group": "room", "passed": None, "chance": None},
]


def judged_run(folder, **changes):
    run = finished_run(folder, **changes)
    texts = {"WER 10 %": {"unweighted_accuracy": 0.625}}
    (run / "robustness.json").write_text(json.dumps({"criteria": CRITERIA, "texts": texts}))
    return run


def tables_of(*folders):
    return robustness_tables(by_corpus(find_runs(folders)[0]))


def rows(table):
    return [[str(value) for value in row] for row in table.rows]


def test_shares_of_criteria_and_scores_by_text(tmp_path):
    criteria, texts = tables_of(judged_run(tmp_path / "full"))
    assert criteria.columns == ["criteria", "full", "by chance"]
    assert rows(criteria) == [["fairness", "50", "38"], ["room", "-", "-"]]
    assert rows(texts) == [["WER 10 %", "62.5"]]


def test_untested_networks_are_named_once(tmp_path):
    elsewhere = {"data": {"dataset": "data/elsewhere"}}
    tested = judged_run(tmp_path / "full")
    others = [finished_run(tmp_path / "small"), finished_run(tmp_path / "far", config=elsewhere)]
    *both, rest = tables_of(tested, *others)
    assert [table.title.split(" on ")[1] for table in both] == ["corpus", "corpus"]
    assert rest.title == "Robustness of the other runs" and not rest.rows
    assert rest.notes == [
        "m4ser robustness RUN --dataset DATA tests a run; not tested: small on corpus, far on elsewhere."
    ]
    (alone,) = tables_of(*others)
    assert alone.title == "Robustness" and "small on corpus, far on elsewhere" in alone.notes[0]


def test_baseline_cannot_be_tested(tmp_path):
    run = finished_run(tmp_path / "majority")
    results = json.loads((run / "results.json").read_text())
    del results["config"]["model"]
    (run / "results.json").write_text(json.dumps(results))
    assert tables_of(run) == []


def test_file_of_another_version_is_named(tmp_path):
    run = finished_run(tmp_path / "full")
    (run / "robustness.json").write_text('{"checks": [], "texts": {}}')
    with pytest.raises(ValueError, match=r"robustness\.json: not of this version; run m4ser robustness again"):
        tables_of(run)
