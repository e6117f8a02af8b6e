"""The time of one utterance, and what the report makes of it."""

import json
import shutil

import pytest

from m4ser.evaluation.latency import main
from m4ser.evaluation.paper.tables import cost_table
from m4ser.evaluation.report.runs import find_runs


def test_the_report_reads_what_was_measured(tiny_run, tmp_path, capsys):
    run = shutil.copytree(tiny_run, tmp_path / "run", ignore=shutil.ignore_patterns("checkpoints"))
    main([str(run), "--dataset", str(tiny_run.parent / "corpus"), "--recordings", "3"])
    found = json.loads(capsys.readouterr().out)
    assert found == json.loads((run / "latency.json").read_text())
    assert found["utterances"] == 3 and 0 < found["milliseconds"] < 10_000 and found["spread"] >= 0
    (row,) = (row for row in cost_table("corpus", find_runs([run])[0]).rows if row[-1] != "-")
    cell = row[6]
    assert cell.value == pytest.approx(found["milliseconds"]) and cell.source.endswith("latency.json")
