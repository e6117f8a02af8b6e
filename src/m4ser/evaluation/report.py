"""Tables and figures of finished runs, from the results.json and the CSV files in its folder."""

import csv
import json
import math
from pathlib import Path

import numpy as np

MEASURES = {"weighted_accuracy": "WA", "unweighted_accuracy": "UA", "weighted_f1": "weighted F1"}
LOSSES = {
    "emotion": "emotion, L_ER",
    "error_detection": "error detection, L_AED",
    "error_correction": "error correction, L_AEC",
    "contrastive": "contrastive, L_LCL",
    "discriminator": "discriminator, -L_GAN",
    "generator": "generator, L_G",
    "total": "total",
}
# Where the discriminator cannot tell the modalities apart, both of L_G's terms are ln 2 (the paper's Fig. 8).
GENERATOR_EQUILIBRIUM = 2 * math.log(2)
# Okabe and Ito's palette, told apart with any colour vision.
BLUE, VERMILION = "#0072B2", "#D55E00"


def comparison(runs, split="test"):
    """A Markdown table with a row a run and the best value of each measure in bold.

    Args:
        runs: folders of finished training runs, each with a results.json.
        split: the split whose measures are shown.

    Raises:
        ValueError: naming a run that is missing, unfinished or malformed, or has no such split.
    """
    return _markdown([_row(run, split) for run in runs])


def write_report(runs, output_dir, split="test"):
    """Write report.md, report.csv and each run's losses as PNG into `output_dir`; return report.md's path.

    Raises:
        ValueError: as `comparison`, for a run without its CSV files, or where matplotlib is not installed.
    """
    rows = [_row(run, split) for run in runs]
    sections = [f"# Results on the {split} split\n", _markdown(rows)]
    output_dir = Path(output_dir)
    output_dir.mkdir(parents=True, exist_ok=True)
    with open(output_dir / "report.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    # Numbered, because two runs in different folders may bear the same name.
    for number, (run, row) in enumerate(zip(runs, rows, strict=True), start=1):
        figure = f"losses_{number}.png"
        plot_losses(run, output_dir / figure)
        sections.append(f"## {row['run']}\n\n![Losses of {row['run']}]({figure})\n")
    report = output_dir / "report.md"
    report.write_text("\n".join(sections), encoding="utf-8")
    return report


def plot_losses(run, path):
    """Draw every loss in RUN/metrics.csv and the accuracies in RUN/validation.csv as a PNG file."""
    Figure = _figure_class()
    steps = _read_columns(Path(run) / "metrics.csv", ["step"])
    validation = _read_columns(Path(run) / "validation.csv", ["epoch", "weighted_accuracy", "unweighted_accuracy"])
    losses = [name for name in LOSSES if np.isfinite(steps.get(name, [])).any()]

    columns = 4
    rows = math.ceil((len(losses) + 1) / columns)
    figure = Figure(figsize=(3.2 * columns, 2.5 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).flat
    for name, panel in zip(losses, panels, strict=False):
        _plot_loss(panel, name, steps)
    _plot_validation(panels[len(losses)], validation)
    for panel in panels[len(losses) + 1 :]:
        panel.set_axis_off()
    figure.savefig(path, dpi=120)


def plot_confusion_matrix(matrix, labels, path):
    """Draw counts (e, e), rows what was said and columns what was answered, as a PNG file, shaded by each row's share.

    Raises:
        ValueError: matplotlib is not installed.
    """
    counts = np.asarray(matrix)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size = 2.2 + 0.55 * len(labels)
    figure = _figure_class()(figsize=(size, size), layout="constrained")
    panel = figure.subplots()
    panel.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        colour = "white" if shares[row, column] > 0.5 else "black"
        panel.text(column, row, str(count), ha="center", va="center", color=colour)
    panel.set_xticks(range(len(labels)), labels, rotation=45, ha="right")
    panel.set_yticks(range(len(labels)), labels)
    panel.set(xlabel="answered", ylabel="said")
    figure.savefig(path, dpi=120)


def _figure_class():
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ValueError("Figures need matplotlib: pip install 'm4ser[report]'.") from error
    return Figure


def _plot_loss(panel, name, steps):
    known = np.isfinite(steps[name])
    x, y = steps["step"][known], steps[name][known]
    panel.plot(x, y, color=BLUE, alpha=0.3, linewidth=0.8)
    # A running mean over a fiftieth of the run shows the course under the noise of single batches.
    window = max(1, len(y) // 50)
    mean = np.convolve(y, np.ones(window) / window, mode="valid")
    panel.plot(x[window // 2 :][: len(mean)], mean, color=BLUE)
    if name == "generator":
        panel.axhline(GENERATOR_EQUILIBRIUM, color=VERMILION, linestyle="--", label="2 ln 2")
        panel.legend(frameon=False)
    panel.set(title=LOSSES[name], xlabel="step", ylabel="loss")


def _plot_validation(panel, validation):
    for name, colour, style in (("weighted_accuracy", BLUE, "-"), ("unweighted_accuracy", VERMILION, "--")):
        panel.plot(validation["epoch"], validation[name], style, color=colour, label=MEASURES[name])
    panel.set(title="validation", xlabel="epoch", ylabel="accuracy", ylim=(0, 1))
    panel.legend(frameon=False)


def _row(run, split):
    path = Path(run) / "results.json"
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
        measures = results["splits"][split]
        return {
            "run": results["name"],
            "protocol": results["protocol"],
            **{title: float(measures[name]) for name, title in MEASURES.items()},
            "n": int(measures["n"]),
            "parameters (M)": results["parameters"] / 1e6,
            "best epoch": f"{results['best_epoch']} of {results['epochs']}",
            "minutes": results["seconds"] / 60,
        }
    except OSError as error:
        raise ValueError(f"{run}: there is no results.json; give the folder of a finished run.") from error
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: not a finished run with a {split} split ({error!r}); evaluate it again.") from error


def _markdown(rows):
    if not rows:
        raise ValueError("There is no run to report; give at least one folder.")
    best = {title: max(row[title] for row in rows) for title in MEASURES.values()}
    lines = ["| " + " | ".join(rows[0]) + " |", "|---|---|" + "---:|" * (len(rows[0]) - 2)]
    for row in rows:
        cells = [_cell(title, value, value == best.get(title)) for title, value in row.items()]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(title, value, bold):
    if isinstance(value, str):
        return value.replace("|", "\\|")
    text = f"{value:.3f}" if title in MEASURES.values() else f"{value:.1f}" if isinstance(value, float) else str(value)
    return f"**{text}**" if bold else text


def _read_columns(path, required):
    """A CSV file of numbers as arrays by column; a value that was not logged is NaN."""
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        columns = {name: np.array([float(row[name] or "nan") for row in rows]) for name in rows[0]}
    except OSError as error:
        raise ValueError(f"{path}: there is no such file; give the folder of a finished run.") from error
    except (IndexError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: not a table of numbers ({error}); was the run cut short?") from error
    if missing := [name for name in required if name not in columns]:
        raise ValueError(f"{path}: the columns {', '.join(missing)} are missing; was the run cut short?")
    return columns
