"""The benchmark of bulk scoring, on few rows."""

import json

from benchmarks import bulk


def test_figures_of_a_short_run(monkeypatch, capsys):
    monkeypatch.setattr(bulk, "SHARD", 20)
    monkeypatch.setattr(bulk, "WARM", 2)
    bulk.main(["--rows", "100"])
    found = json.loads(capsys.readouterr().out)
    assert len(found["megabytes"]) == 5 and len(found["ratios"]) == 2
    assert found["figures"]["time by that of the bare network"] > 0.9  # what is around it costs something
    assert found["met"].keys() == found["at_most"].keys() < found["figures"].keys()
