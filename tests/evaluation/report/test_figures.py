"""Figures from the files of runs; what is off has no panel, and a missing file is named."""

import csv
import io
import sys

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="needs the report extra")
from matplotlib.image import imread

from m4ser.evaluation.paper import figures as paper_figures
from m4ser.evaluation.report import figures, plot_confusion_matrix, plot_losses
from m4ser.evaluation.report.runs import find_runs
from tests.finished_runs import finished_run


def height(plot):
    return imread(io.BytesIO(plot.png)).shape[0]


def test_a_loss_that_is_off_has_no_panel(tmp_path):
    run = finished_run(tmp_path / "a")
    ((group,), _) = find_runs([run])
    everything = figures.losses(group)
    with open(run / "metrics.csv") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row.update(dict.fromkeys(["discriminator", "generator", "contrastive", "error_detection"], ""))
    with open(run / "metrics.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    few = figures.losses(group)
    # Three losses and the validation fill one row of the grid, seven losses and the validation two.
    assert 2 * height(few) == height(everything)
    assert "1.386" in everything.caption and "1.386" not in few.caption


@pytest.mark.parametrize("name", ["metrics.csv", "validation.csv"])
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "no such file"),
        ("", "cut short"),
        ("step,epoch\none,two\n", "not a table of numbers"),
        ("total\n1\n", "are missing"),
    ],
)
def test_a_run_without_its_curves_is_named(tmp_path, name, text, reason):
    run = finished_run(tmp_path / "a")
    (run / name).unlink()
    if text is not None:
        (run / name).write_text(text)
    with pytest.raises(ValueError, match=f"{name}.*{reason}"):
        plot_losses(run, tmp_path / "losses.png")


def test_without_matplotlib_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ValueError, match=r"m4ser\[report\]"):
        plot_losses(finished_run(tmp_path / "a"), tmp_path / "losses.png")


def test_rows_of_a_confusion_matrix_are_shares_and_a_class_nobody_has_is_left_out():
    shares = figures._row_shares(np.array([[3, 1], [0, 0]]))
    np.testing.assert_array_equal(shares, [[75, 25], [np.nan, np.nan]])


def test_sensitivity_needs_runs_that_differ_in_one_weight_alone(tmp_path):
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
    groups, _ = find_runs([*folders, both, wide, longer])
    lines = paper_figures.sensitivity_lines(groups)
    assert {name: [group.name for group in members] for name, members in lines.items()} == {
        "auxiliary_weight": ["auxiliary_weight0.1", "auxiliary_weight1"]
    }
    assert paper_figures.sensitivity("corpus", [groups[0], groups[2]]) is None
    plot = paper_figures.sensitivity("corpus", groups)
    assert plot.png.startswith(b"\x89PNG") and len(plot.sources) == 2


def test_nobodys_settings_change_a_figure(tmp_path):
    import matplotlib

    (group,), _ = find_runs([finished_run(tmp_path / "a")])
    expected = figures.confusion("corpus", [group]).svg
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red", "svg.hashsalt": None}):
        assert figures.confusion("corpus", [group]).svg == expected
    assert b"<dc:date>" not in expected


def test_a_confusion_matrix_is_darker_where_more_of_a_row_was_answered(tmp_path):
    plot_confusion_matrix([[9, 1], [3, 7]], ["happy", "sad"], tmp_path / "matrix.png")
    pixels = imread(tmp_path / "matrix.png")[..., :3]
    height, width, _ = pixels.shape
    # The panel fills most of the picture from its upper right corner; colors away from the numbers and the axes.
    (top_left, top_right), (bottom_left, bottom_right) = (
        [pixels[int(row * height), int(column * width)].sum() for column in (0.4, 0.9)] for row in (0.1, 0.6)
    )
    assert top_left < bottom_right < bottom_left < top_right
