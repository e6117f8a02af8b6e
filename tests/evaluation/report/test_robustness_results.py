"""What `m4ser robustness` left beside a run, as tables; and the runs that it was not asked about."""

import json

from m4ser.evaluation.report.page import by_corpus
from m4ser.evaluation.report.robustness_results import robustness_tables
from m4ser.evaluation.report.runs import find_runs
from tests.finished_runs import finished_run

CHECKS = [
    {"group": "fairness", "passed": True, "chance": 0.5},
    {"group": "fairness", "passed": False, "chance": 0.25},
    {"group": "fairness", "passed": None, "chance": None},  # could not be judged
    {"group": "room", "passed": None, "chance": None},
]


def judged_run(folder, **changes):
    run = finished_run(folder, **changes)
    texts = {"WER 10 %": {"unweighted_accuracy": 0.625}}
    (run / "robustness.json").write_text(json.dumps({"checks": CHECKS, "texts": texts}))
    return run


def tables_of(*folders):
    return robustness_tables(by_corpus(find_runs(folders)[0]))


def rows(table):
    return [[str(value) for value in row] for row in table.rows]


def test_shares_of_demands_and_scores_by_text(tmp_path):
    demands, texts = tables_of(judged_run(tmp_path / "full"))
    assert demands.columns == ["demands", "full", "by chance"]
    assert rows(demands) == [["fairness", "50", "38"], ["room", "-", "-"]]
    assert rows(texts) == [["WER 10 %", "62.5"]]


def test_networks_that_were_not_tested_are_named_once(tmp_path):
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


def test_a_baseline_cannot_be_tested(tmp_path):
    run = finished_run(tmp_path / "majority")
    results = json.loads((run / "results.json").read_text())
    del results["config"]["model"]
    (run / "results.json").write_text(json.dumps(results))
    assert tables_of(run) == []
