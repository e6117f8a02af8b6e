"""Tables and figures of runs, from the files that training leaves."""

import csv
import json
import sys

import numpy as np
import pytest

from m4ser.evaluation.report import comparison, plot_confusion_matrix, write_report

LOSSES = [
    "emotion",
    "error_detection",
    "error_correction",
    "discriminator",
    "generator",
    "contrastive",
    "total",
]


def finished_run(folder, name="m4ser", accuracy=0.4, n=240):
    """A run's folder as training leaves it, of 60 steps and 3 epochs."""
    folder.mkdir()
    measures = {"n": n, "weighted_accuracy": accuracy, "unweighted_accuracy": 0.41, "weighted_f1": 0.39}
    results = {
        "name": name,
        "protocol": "held_out",
        "best_epoch": 2,
        "epochs": 3,
        "parameters": 1234567,
        "seconds": 812.3,
        "splits": {"test": measures},
    }
    (folder / "results.json").write_text(json.dumps(results))
    generator = np.random.default_rng(0)
    with open(folder / "metrics.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["step", "epoch", *LOSSES, "learning_rate", "seconds"])
        for step in range(60):
            writer.writerow([step, step // 20, *generator.exponential(size=len(LOSSES)), 1e-4, step])
    (folder / "validation.csv").write_text(
        "epoch,weighted_accuracy,unweighted_accuracy,weighted_f1\n0,0.1,0.1,0.1\n1,0.3,0.2,0.2\n2,0.4,0.3,0.3\n"
    )
    return folder


def test_a_row_a_run_and_the_best_in_bold(tmp_path):
    runs = [finished_run(tmp_path / "a", "full", 0.5), finished_run(tmp_path / "b", "speech|only", 0.4)]
    header, rule, first, second = comparison(runs).splitlines()
    assert header == ("| run | protocol | WA | UA | weighted F1 | n | parameters (M) | best epoch | minutes |")
    assert rule.count("|") == header.count("|")
    assert first == "| full | held_out | **0.500** | **0.410** | **0.390** | 240 | 1.2 | 2 of 3 | 13.5 |"
    assert second.startswith(r"| speech\|only | held_out | 0.400 | **0.410** |")


def test_the_report_is_a_table_a_csv_and_a_figure_a_run(tmp_path):
    pytest.importorskip("matplotlib", reason="needs the report extra")
    runs = [finished_run(tmp_path / "a", "full", 0.5), finished_run(tmp_path / "b", "full", 0.4)]
    report = write_report(runs, tmp_path / "deep" / "report")
    assert comparison(runs) in report.read_text()
    with open(report.with_name("report.csv")) as file:
        assert [row["WA"] for row in csv.DictReader(file)] == ["0.5", "0.4"]
    for number in (1, 2):
        figure = report.with_name(f"losses_{number}.png")
        assert figure.name in report.read_text()
        assert figure.read_bytes().startswith(b"\x89PNG")


def test_a_loss_that_is_off_has_no_panel(tmp_path):
    pytest.importorskip("matplotlib", reason="needs the report extra")
    from matplotlib.image import imread

    run = finished_run(tmp_path / "a")
    write_report([run], tmp_path / "all")
    with open(run / "metrics.csv") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row.update(dict.fromkeys(["discriminator", "generator", "contrastive", "error_detection"], ""))
    with open(run / "metrics.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    write_report([run], tmp_path / "few")
    # Three losses and the validation fill one row of the grid, seven losses and the validation two.
    heights = [imread(tmp_path / name / "losses_1.png").shape[0] for name in ("few", "all")]
    assert 2 * heights[0] == heights[1]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "there is no results.json"),
        ("{", "not a finished run"),
        ("[]", "not a finished run"),
        ('{"name": "x", "splits": {}}', "'test'"),
        ('{"name": "x", "splits": {"test": {"n": 3}}}', "'protocol'"),
    ],
)
def test_a_missing_or_malformed_run_is_named(tmp_path, text, reason):
    run = finished_run(tmp_path / "broken_run")
    (run / "results.json").unlink()
    if text is not None:
        (run / "results.json").write_text(text)
    with pytest.raises(ValueError, match=f"broken_run.*{reason}"):
        comparison([finished_run(tmp_path / "a"), run])


def test_a_split_that_was_not_evaluated_is_named(tmp_path):
    with pytest.raises(ValueError, match="validation split"):
        comparison([finished_run(tmp_path / "a")], split="validation")


def test_no_run_at_all_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no run to report"):
        comparison([])
    with pytest.raises(ValueError, match="no run to report"):
        write_report([], tmp_path / "report")
    assert not (tmp_path / "report").exists()


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
    pytest.importorskip("matplotlib", reason="needs the report extra")
    run = finished_run(tmp_path / "a")
    (run / name).unlink()
    if text is not None:
        (run / name).write_text(text)
    with pytest.raises(ValueError, match=f"{name}.*{reason}"):
        write_report([run], tmp_path / "report")


def test_a_confusion_matrix_is_darker_where_more_of_a_row_was_answered(tmp_path):
    image = pytest.importorskip("matplotlib.image", reason="needs the report extra")
    plot_confusion_matrix([[9, 1], [0, 0]], ["happy", "sad"], tmp_path / "matrix.png")
    pixels = image.imread(tmp_path / "matrix.png")[..., :3]
    height, width, _ = pixels.shape
    # The panel fills most of the picture from its upper right corner; colours away from the numbers and the axes.
    (top_left, top_right), (bottom_left, bottom_right) = (
        [pixels[int(row * height), int(column * width)].sum() for column in (0.4, 0.9)] for row in (0.1, 0.6)
    )
    assert top_left < top_right < bottom_left == bottom_right


def test_without_matplotlib_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ValueError, match=r"m4ser\[report\]"):
        write_report([finished_run(tmp_path / "a")], tmp_path / "report")
