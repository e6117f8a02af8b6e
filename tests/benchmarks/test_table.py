"""`make bench`: the table of the reports, and what it says where a goal was missed."""

import json

import pytest

from benchmarks import __main__ as bench

REPORTS = {
    "overhead": {"figures": {"a": 1.0624, "b": 3}, "goals": {"a": 1.1}, "met": {"a": True}, "hardware": "2 threads"},
    "training": {"figures": {"c": 1.5}, "goals": {"c": 1.35}, "met": {"c": False}, "hardware": "2 threads"},
}


def test_a_line_for_each_goal():
    assert bench.table(REPORTS).splitlines()[2:4] == [
        "| overhead | a | 1.062 | at most 1.10 | pass |",
        "| training | c | 1.500 | at most 1.35 | miss |",
    ]


def test_the_table_of_what_is_there(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bench, "RESULTS", tmp_path)
    for name, report in REPORTS.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(report))
    bench.main(["overhead", "training", "--table"])
    assert capsys.readouterr().out == bench.table(REPORTS) + "\n"


def test_a_name_that_there_is_not(capsys):
    with pytest.raises(SystemExit):
        bench.main(["overheads"])
    assert "there is no overheads among overhead, startup" in capsys.readouterr().err


@pytest.mark.parametrize("name", bench.QUICK)
def test_every_quick_benchmark_is_on_file(name):
    report = json.loads((bench.RESULTS / f"{name}.json").read_text())
    assert report["goals"].keys() == report["met"].keys() <= report["figures"].keys()
    lines = bench.table({name: report})
    assert lines.count("| pass |") + lines.count("| miss |") == len(report["goals"]) > 0
