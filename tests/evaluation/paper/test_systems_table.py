"""The table of systems: what was measured comes first, the published figures and their caveats stand beside it."""

import pytest

from m4ser.evaluation.paper.report import all_tables
from m4ser.evaluation.paper.systems_table import systems_table
from m4ser.evaluation.report.page import by_corpus
from m4ser.evaluation.report.table import NOTHING
from m4ser.systems import PUBLICATIONS
from m4ser.systems.common.publication import Publication
from tests.finished_runs import entries, finished_run, groups_of, make_predictions

COSTS = {"training_seconds": 30.0, "steps": 60, "test_seconds": 2.0}


def system(name, **model):
    return {"model": {"system": name, **model}, "objective": {"adversarial_weight": 0, "contrastive_weight": 0}}


@pytest.fixture
def groups(tmp_path):
    """M4SER, SAMS better, MF-AED-AEC, and concat worst."""
    concat = {"config": {"representations": [], "auxiliary_tasks": []}}
    runs = {
        "full": ({}, 0.6),
        "sams": (system("sams"), 0.9),
        "without_strategies": (system("m4ser"), 0.5),
        "concat": (system("m4ser", **concat), 0.2),
    }
    folders = [
        finished_run(tmp_path / name, make_predictions(right=right), config=config, **COSTS)
        for name, (config, right) in runs.items()
    ]
    return groups_of(*folders)


def test_rows_are_sorted_by_what_was_measured(groups):
    table = systems_table("corpus", groups)
    assert [row[0] for row in table.rows] == ["SAMS", "M4SER", "MF-AED-AEC", "concat", "FDRL", "Full", "DIMMN"]
    assert table.ours == [True] * 4 + [False] * 3
    best, worst = entries(table, "SAMS"), entries(table, "concat")
    assert (best["UA against the best"], best["p (UA)"]) == (NOTHING, NOTHING)
    assert float(worst["UA against the best"]) < -50 and float(worst["p (UA)"]) < 0.01


def test_published_figures_stand_beside(groups):
    table = systems_table("corpus", groups)
    sams, ours = entries(table, "SAMS"), entries(table, "M4SER")
    assert sams["published"] == "IEMOCAP WA 76.6, UA 78.1 (S+T(GT)); MELD ACC 65.4, W-F1 62.6 (S+T(GT))"
    assert sams["as its publication"] == "C, after its abstract"
    assert ours["published"] == "IEMOCAP WA 79.2, UA 80.1 (S+T(ASR)); MELD ACC 66.5, W-F1 66.0 (S+T(ASR))"
    assert "no validation data is named" in ours["known of the published figure"]
    assert entries(table, "MF-AED-AEC")["published"].startswith("IEMOCAP WA 78.1, UA 79.3")
    concat = entries(table, "concat")["published"]
    assert concat == "IEMOCAP WA 73.4, UA 75.2; MELD ACC 63.9, W-F1 60.8"


def test_own_papers_figures_and_caveat(groups, monkeypatch):
    own = Publication("Hou et al.", "B", {"IEMOCAP": {"UA": 81.25}}, "The epoch was chosen on the test session.")
    monkeypatch.setitem(PUBLICATIONS, "sams", own)
    row = entries(systems_table("corpus", groups), "SAMS")
    assert row["published"].endswith("(S+T(GT)); IEMOCAP UA 81.2")
    assert row["known of the published figure"] == "The epoch was chosen on the test session."


def test_costs(groups):
    row = entries(systems_table("corpus", groups), "SAMS")
    assert (row["parameters (M)"], row["s a step"], row["ms a recording"]) == ("1.23", "0.500", "50.0")


def test_what_is_not_built_has_its_reason(groups):
    table = systems_table("corpus", groups)
    assert "dialogues and video" in entries(table, "DIMMN")["as its publication"]
    assert entries(table, "FDRL")["published"] == "IEMOCAP WA 78.3, UA 79.4 (S+T(GT))"


def test_system_without_publication(groups, monkeypatch):
    monkeypatch.delitem(PUBLICATIONS, "sams")
    assert entries(systems_table("corpus", groups), "SAMS")["published"] == NOTHING


def test_there_is_no_table_of_ours_alone(tmp_path, groups):
    assert systems_table("corpus", [group for group in groups if group.variant != "SAMS"]) is None
    keys = [table.key for table in all_tables(by_corpus(groups))]
    assert "systems-corpus" in keys and keys.index("systems-corpus") < keys.index("II")
