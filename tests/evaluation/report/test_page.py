"""The page of any runs, and their comparison as Markdown."""

import csv

import pytest

from m4ser.evaluation.report import comparison
from m4ser.evaluation.report.page import by_corpus, write_page
from m4ser.evaluation.report.result_tables import results_table
from m4ser.evaluation.report.runs import find_runs
from tests.finished_runs import finished_run, make_predictions


@pytest.fixture
def runs(tmp_path):
    return [
        finished_run(tmp_path / "a", name="full"),
        finished_run(tmp_path / "b", make_predictions(seed=1), name="speech|only <b>"),
    ]


def test_comparison_is_the_results_table(runs):
    lines = comparison(runs).splitlines()
    assert lines[0].startswith("| run | row of the paper | protocol |") and len(lines) == 4
    assert lines[1].count("|") == lines[0].count("|") and "---:" in lines[1]


def test_page_needs_neither_the_papers_tables_nor_figures(runs, tmp_path):
    groups, unfinished = find_runs(runs)
    tables = [results_table(*pair) for pair in by_corpus(groups).items()]
    path = write_page(tmp_path / "report", groups, unfinished, tables, [])
    text = path.read_text(encoding="utf-8")
    assert "Results on corpus" in text and "The runs" in text and "speech|only &lt;b&gt;" in text
    assert "Table II" not in text and "Fig." not in text
    with open(tmp_path / "report" / "report.csv", newline="") as file:
        assert {row["table"] for row in csv.DictReader(file)} == {"results-corpus", "runs"}
