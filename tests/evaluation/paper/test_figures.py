"""Fig. 6 and Fig. 7 from the files of runs."""

import pytest

pytest.importorskip("matplotlib", reason="needs the report extra")

from m4ser.evaluation.paper import figures
from m4ser.evaluation.report.runs import find_runs
from tests.finished_runs import finished_run


def test_sensitivity_compares_runs_differing_in_one_weight(tmp_path):
    folders = [
        finished_run(tmp_path / f"auxiliary_weight{value}", config={"objective": {"auxiliary_weight": value}})
        for value in (1, 0.1)
    ]
    both = finished_run(tmp_path / "both", config={"objective": {"auxiliary_weight": 0.5, "detection_weight": 1}})
    wide = finished_run(
        tmp_path / "wide", config={"model": {"config": {"hidden_size": 8}}, "objective": {"adversarial_weight": 1}}
    )
    longer = finished_run(
        tmp_path / "longer", config={"objective": {"auxiliary_weight": 0.01}, "training": {"epochs": 7}}
    )
    sums = finished_run(tmp_path / "sums", config={"objective": {"auxiliary_weight": 0.02, "loss_reduction": "sum"}})
    groups, _ = find_runs([*folders, both, wide, longer, sums])
    lines = figures.sensitivity_lines(groups)
    assert {name: [group.name for group in members] for name, members in lines.items()} == {
        "auxiliary_weight": ["auxiliary_weight0.1", "auxiliary_weight1"]
    }
    assert figures.sensitivity("corpus", [groups[0], groups[2]]) is None
    plot = figures.sensitivity("corpus", groups)
    assert plot.png.startswith(b"\x89PNG") and len(plot.sources) == 2


def test_other_system_is_on_another_line(tmp_path):
    weights = {"adversarial_weight": 0.0, "contrastive_weight": 0.0}
    m4ser = finished_run(tmp_path / "m4ser", config={"objective": weights})
    sams = finished_run(
        tmp_path / "sams", config={"objective": {**weights, "auxiliary_weight": 1}, "model": {"system": "sams"}}
    )
    assert figures.sensitivity_lines(find_runs([m4ser, sams])[0]) == {}
