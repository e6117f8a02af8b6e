"""`make bench`: the table of the reports, and what it says where a goal was missed."""

import json

import pytest

from benchmarks import __main__ as bench
from benchmarks.timing import report

REPORTS = {
    "overhead": report({"a": 1.0624, "b": 3}, {"a": 1.1}),
    "training": report({"c": 1.5, "d": 1.5}, {"c": 1.35}, {"d": 1.35}),
}


def test_a_line_for_each_goal():
    assert bench.table(REPORTS).splitlines()[2:5] == [
        "| overhead | a | 1.062 | at most 1.10 | pass |",
        "| training | c | 1.500 | at most 1.35 | miss |",
        "| training | d | 1.500 | at least 1.35 | pass |",
    ]


def test_the_table_of_what_is_there(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bench, "RESULTS", tmp_path)
    for name, found in REPORTS.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(found))
    bench.main(["overhead", "training", "--table"])
    assert capsys.readouterr().out == bench.table(REPORTS) + "\n"


def test_a_name_that_there_is_not(capsys):
    with pytest.raises(SystemExit):
        bench.main(["overheads"])
    assert "there is no overheads among overhead, startup" in capsys.readouterr().err


@pytest.mark.parametrize("name", bench.QUICK)
def test_every_quick_benchmark_is_on_file(name):
    found = json.loads((bench.RESULTS / f"{name}.json").read_text())
    assert found["at_most"].keys() | found["at_least"].keys() == found["met"].keys() <= found["figures"].keys()
    lines = bench.table({name: found})
    assert lines.count("| pass |") + lines.count("| miss |") == len(found["met"]) > 0
