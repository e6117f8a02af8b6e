"""The growth benchmark: its slopes, its figures, and what each curve runs."""

import json

import numpy as np
import pytest
import torch

from benchmarks import growth
from benchmarks.growth import GOAL, make_curves, slope


@pytest.mark.parametrize("power", [0.5, 1, 2])
def test_slope_is_the_power(power):
    sizes = np.array([1, 2, 4, 8, 16])
    assert slope(sizes, 3.0 * sizes**power) == pytest.approx(power)


def test_constant_cost_does_not_hide_a_square():
    sizes = np.array([1, 10, 100, 1000])
    assert slope(sizes, [5, 5, 5, 5]) == pytest.approx(0)
    assert slope(sizes, 5 + 1e-3 * sizes**2) > GOAL


def test_every_curve(tmp_path, monkeypatch, capsys):
    """Each at its two smallest sizes, in new processes."""

    def short(folder):
        curves = make_curves(folder)
        for curve in curves.values():
            curve.sizes = curve.sizes[:2]
        return curves

    monkeypatch.setattr(growth, "make_curves", short)
    growth.main(["--rounds", "1", "--figure", str(tmp_path / "growth.png")])
    report = json.loads(capsys.readouterr().out)
    assert len(report["figures"]) == 2 * len(report["curves"]) == 12
    assert set(report["figures"]) - set(report["at_most"]) == {  # attention has no goal
        "seconds by recording's length, in one piece",
        "megabytes by recording's length, in one piece",
    }
    assert (tmp_path / "growth.png").read_bytes().startswith(b"\x89PNG")


@torch.inference_mode()
def test_what_the_curves_run(tmp_path):
    curves = make_curves(tmp_path)
    assert curves["recording's length, in one piece"].prepare(2)().frame_mask.sum() == 48
    assert curves["batch"].prepare(3)().logits.shape == (3, 4)
    assert curves["recording's length, timeline"].prepare(62)() == 13  # windows of 5 s
    assert len(curves["CHANGE positions"].prepare(12)()[0]) == 12
    assert set(curves["labels"].prepare(7)()["aed_labels"][6]) >= {0, 2}
    assert len(curves["manifest"].prepare(30)().rows) == 30
