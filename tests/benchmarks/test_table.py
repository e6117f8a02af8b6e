"""`make bench`: the table of the reports, a missed goal included, and the same table in docs/performance.md."""

import json
from pathlib import Path

import pytest

from benchmarks import __main__ as bench
from benchmarks.timing import report

PERFORMANCE = (Path(__file__).parents[2] / "docs" / "performance.md").read_text(encoding="utf-8")
REPORTS = {
    "overhead": report({"a": 1.0624, "b": 3}, {"a": 1.1}),
    "training": report({"c": 1.5, "d": 1.5}, {"c": 1.35}, {"d": 1.35}),
}
LINES = """
| overhead | a | 1.062 | at most 1.10 | pass |
| training | c | 1.500 | at most 1.35 | miss |
| training | d | 1.500 | at least 1.35 | pass |
"""


def test_existing_reports_are_printed(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bench, "RESULTS", tmp_path)
    for name, found in REPORTS.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(found | {"hardware": f"machine of {name}"}))
    bench.main(["overhead", "training", "--table"])
    printed = capsys.readouterr().out
    assert LINES in printed
    assert printed.endswith("\n\nMeasured on machine of overhead; machine of training.\n")


def test_unknown_benchmark(capsys):
    with pytest.raises(SystemExit):
        bench.main(["overheads"])
    assert "unknown benchmark overheads; choose from overhead, startup" in capsys.readouterr().err


@pytest.mark.parametrize("name", bench.QUICK)
def test_goals_of_a_report_are_judged_by_its_figures(name):
    found = json.loads((bench.RESULTS / f"{name}.json").read_text())
    met = {figure: found["figures"][figure] <= goal for figure, goal in found["at_most"].items()}
    met |= {figure: found["figures"][figure] >= goal for figure, goal in found["at_least"].items()}
    assert found["met"] == met != {}


def test_documented_table_is_that_of_the_reports():
    reports = {name: json.loads((bench.RESULTS / f"{name}.json").read_text()) for name in bench.QUICK}
    table, _, _ = bench.table(reports).partition("\n\n")
    assert f"{table}\n" in PERFORMANCE
