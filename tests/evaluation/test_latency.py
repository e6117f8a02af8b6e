"""The latency of a model, and its entry in Table V."""

import json
import shutil

import pytest

from m4ser.evaluation.latency import measure_latency
from m4ser.evaluation.paper.tables import cost_table
from m4ser.evaluation.report.runs import find_runs


def test_report_shows_measured_latency(tiny_run, tmp_path):
    run = shutil.copytree(tiny_run, tmp_path / "run", ignore=shutil.ignore_patterns("checkpoints"))
    (before,) = find_runs([run])[0]
    assert any("m4ser latency RUN --dataset DATA" in note for note in cost_table("corpus", [before]).notes)
    found = measure_latency(run, tiny_run.parent / "corpus", recordings=3)
    assert found == json.loads((run / "latency.json").read_text())
    assert found["utterances"] == 3 and 0 < found["milliseconds"] < 10_000 and found["spread"] >= 0
    table = cost_table("corpus", find_runs([run])[0])
    (row,) = (row for row in table.rows if row[-1] != "-")
    entry = row[6]
    assert entry.value == pytest.approx(found["milliseconds"]) and entry.source.endswith("latency.json")
    assert not any("m4ser latency" in note for note in table.notes)


def test_missing_run_is_named(tiny_run, tmp_path):
    with pytest.raises(ValueError, match="gone: there is no such folder"):
        measure_latency(tmp_path / "gone", tiny_run.parent / "corpus")
