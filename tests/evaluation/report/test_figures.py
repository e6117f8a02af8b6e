"""Figures from the files of runs; what is off has no panel, and a missing file is named."""

import csv
import io
import math
import sys

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="needs the report extra")
from matplotlib.image import imread

from m4ser.evaluation.report import figures, plot_confusion_matrix, plot_losses
from m4ser.evaluation.report.runs import find_runs
from m4ser.losses import OBJECTIVES
from tests.finished_runs import LOSSES, finished_run


def height(plot):
    return imread(io.BytesIO(plot.png)).shape[0]


def test_unlogged_loss_has_no_panel(tmp_path):
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
    # Three losses and the validation fill one row of the grid, eight losses and the validation two.
    assert 2 * height(few) == height(everything)
    assert "1.386" in everything.caption and "1.386" not in few.caption


def test_curves_are_of_runs_whose_steps_were_kept(tmp_path):
    for seed in range(2):
        finished_run(tmp_path / "a" / f"seed{seed}", seed=seed)
    ((group,), _) = find_runs([tmp_path / "a"])
    for run, lines in zip(group.runs, ("for each of 2 runs", "single steps behind them"), strict=True):
        assert lines in figures.losses(group).caption
        for name in ("metrics.csv", "validation.csv"):
            (run.folder / name).unlink()
    assert figures.losses(group) is None


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
def test_missing_or_malformed_curves_are_named(tmp_path, name, text, reason):
    run = finished_run(tmp_path / "a")
    (run / name).unlink()
    if text is not None:
        (run / name).write_text(text)
    with pytest.raises(ValueError, match=f"{name}.*{reason}"):
        plot_losses(run, tmp_path / "losses.png")


def test_missing_matplotlib_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ValueError, match=r"m4ser\[report\]"):
        plot_losses(finished_run(tmp_path / "a"), tmp_path / "losses.png")


def test_confusion_rows_are_shares():
    shares = figures._row_shares(np.array([[3, 1], [0, 0]]))
    np.testing.assert_array_equal(shares, [[75, 25], [np.nan, np.nan]])


def test_user_settings_do_not_change_a_figure(tmp_path):
    import matplotlib

    (group,), _ = find_runs([finished_run(tmp_path / "a")])
    expected = figures.confusion("corpus", [group]).svg
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red", "svg.hashsalt": None}):
        assert figures.confusion("corpus", [group]).svg == expected
    assert b"<dc:date>" not in expected


def test_confusion_matrix_shading(tmp_path):
    plot_confusion_matrix([[9, 1], [3, 7]], ["happy", "sad"], tmp_path / "matrix.png")
    pixels = imread(tmp_path / "matrix.png")[..., :3]
    height, width, _ = pixels.shape
    # The panel fills most of the picture from its upper right corner; colors away from the numbers and the axes.
    (top_left, top_right), (bottom_left, bottom_right) = (
        [pixels[int(row * height), int(column * width)].sum() for column in (0.4, 0.9)] for row in (0.1, 0.6)
    )
    assert top_left < bottom_right < bottom_left < top_right


def test_adversarial_terms_have_the_sign_of_equation_20():
    """By hand: D gives speech .8, text .3 and the invariant .5."""
    l_d, l_g = math.log(0.8) + math.log(1 - 0.3), -math.log(0.5) - math.log(0.5)
    logged = {"step": np.ones(1), "generator": np.array([l_g]), "discriminator": np.array([-(l_d + l_g)])}
    found = figures.with_paper_signs(logged)
    assert found["L_D"] == pytest.approx(l_d) and found["L_GAN"] == pytest.approx(l_d + l_g)
    assert "discriminator" not in found and found["generator"] == pytest.approx(l_g)
    assert "L_D" not in figures.with_paper_signs({"step": np.ones(1)})


def test_discriminator_has_the_papers_two_curves(tmp_path):
    ((group,), _) = find_runs([finished_run(tmp_path / "a")])
    plot = figures.losses(group)
    titles = [*figures.ADVERSARIAL.values(), "generator, L_G"]
    assert all(f"<!-- {title} -->" in plot.svg.decode() for title in titles)
    assert "discriminator, -L_GAN" not in plot.svg.decode() and "D maximizes L_GAN" in plot.caption


def test_every_logged_loss_has_a_panel(tmp_path):
    """Those of the objective table by its order, a system's own after them, the joint loss last."""
    run = finished_run(tmp_path / "a")
    text = (run / "metrics.csv").read_text().splitlines()
    lines = [
        f"{line},{'attraction,invariant_probability' if number == 0 else '1.5,0.5'}"
        for number, line in enumerate(text)
    ]
    (run / "metrics.csv").write_text("\n".join(lines) + "\n")
    ((group,), _) = find_runs([run])
    names = figures.logged_losses([figures.read_columns(run, "metrics.csv", ["step"])])
    assert names == [*(name for name in OBJECTIVES if name in LOSSES), "attraction", "total"]
    svg = figures.losses(group).svg.decode()
    assert all(f"<!-- {title} -->" in svg for title in ("attraction", "total", "emotion, L_ER"))
    assert "invariant probability" not in svg
