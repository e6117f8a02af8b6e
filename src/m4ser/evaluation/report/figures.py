"""The paper's figures from a run's own files, in colors that any eye tells apart and that survive a black printer."""

import io
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from m4ser.evaluation.paper.published import published
from m4ser.run_folder import METRICS, VALIDATION, read_columns

LOSSES = {
    "emotion": "emotion, L_ER",
    "error_detection": "error detection, L_AED",
    "error_correction": "error correction, L_AEC",
    "contrastive": "contrastive, L_LCL",
    "discriminator": "discriminator, -L_GAN",
    "generator": "generator, L_G",
    "spaces": "spaces of SAMS",
    "total": "total",
}
SCORES = {"weighted_accuracy": "WA", "unweighted_accuracy": "UA"}
WEIGHTS = {"auxiliary_weight": "α", "detection_weight": "β", "adversarial_weight": "γ", "contrastive_weight": "λ"}
# Where the discriminator cannot tell the modalities apart, both of L_G's terms are ln 2 (the paper's Fig. 8).
GENERATOR_EQUILIBRIUM = 2 * math.log(2)
# Okabe and Ito's palette, told apart with any color vision; the markers tell classes apart without color.
BLUE, VERMILION = "#0072B2", "#D55E00"
PALETTE = (BLUE, VERMILION, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999933")
MARKERS = "osD^vPX*"
STYLE = {
    "svg.hashsalt": "m4ser",
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
COLUMNS = 4


@dataclass(frozen=True)
class Plot:
    """A figure as it goes into the report: `svg` and `png` are the files' bytes."""

    key: str
    title: str
    caption: str
    sources: list
    svg: bytes
    png: bytes


def new_figure(panels, width=2.7, height=2.4, columns=COLUMNS):
    """A figure with room for so many panels, and those panels; without pyplot, which keeps every figure."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ValueError("Figures need matplotlib: pip install 'm4ser[report]'.") from error
    columns = min(columns, panels)
    rows = math.ceil(panels / columns)
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axis in axes[panels:]:
        axis.set_axis_off()
    return figure, axes[:panels]


def styled(draw):
    """A decorator: `draw` runs with our matplotlib settings, whatever the user's are."""

    def run(*args, **kwargs):
        try:
            from matplotlib import rc_context, rcParamsDefault
        except ImportError as error:
            raise ValueError("Figures need matplotlib: pip install 'm4ser[report]'.") from error
        settings = {name: value for name, value in rcParamsDefault.items() if not name.startswith("backend")}
        with rc_context({**settings, **STYLE}):
            return draw(*args, **kwargs)

    return run


def finished(figure, key, title, caption, sources):
    """The figure's bytes, the same for the same data: no date, and ids that come from the content."""
    files = {}
    for kind, metadata in (("svg", {"Date": None}), ("png", {})):
        buffer = io.BytesIO()
        figure.savefig(buffer, format=kind, dpi=150, metadata=metadata)
        files[kind] = buffer.getvalue()
    return Plot(key, title, caption, [Path(source).as_posix() for source in sources], files["svg"], files["png"])


@styled
def label_counts(groups):
    """Fig. 6: recordings by emotion, as published and as tested here."""
    ours = {}
    for group in groups:
        if group.corpus not in ours and all(run.matrix for run in group.runs):
            ours[group.corpus] = group
    figure, axes = new_figure(2 + len(ours), width=3.4, height=2.6, columns=3)
    for axis, (corpus, counts) in zip(axes, published()["6"].items(), strict=False):
        _bars(axis, f"{corpus} (published)", list(counts), list(counts.values()), "#999999")
    sources = []
    for axis, (corpus, group) in zip(axes[2:], ours.items(), strict=True):
        seed = group.first.results["seed"]
        members = [run for run in group.runs if run.results["seed"] == seed]
        counts = sum(np.sum(run.matrix, axis=1) for run in members)
        _bars(axis, f"{corpus} (tested here)", group.labels, counts, BLUE)
        sources += [run.source for run in members]
    caption = (
        "Recordings by emotion. Published: the whole corpora; MELD's classes add up to 13,095 in the paper, its "
        "splits to 13,708. Tested here: the test recordings of the first run on each corpus, all folds together."
    )
    return finished(figure, "fig6", "Fig. 6: recordings by emotion", caption, sources)


def _bars(axis, title, names, counts, color):
    axis.barh(range(len(names)), counts, color=color)
    axis.set(title=title, xlabel="recordings", yticks=range(len(names)), yticklabels=names)
    axis.invert_yaxis()
    axis.margins(x=0.22)
    for place, count in enumerate(counts):
        axis.annotate(f"{count:,}", (count, place), (3, 0), textcoords="offset points", va="center", fontsize=8)


@styled
def losses(group):
    """Fig. 8: every loss by step, and validation by epoch, of each run of a group."""
    curves = [(read_columns(run.folder, METRICS, ["step"]), _validation(run.folder)) for run in group.runs]
    figure = draw_losses(curves)
    sources = [run.folder / name for run in group.runs for name in (METRICS, VALIDATION)]
    caption = (
        "Running means over a fiftieth of the run"
        + (", single steps behind them" if len(curves) == 1 else f", a line for each of {len(curves)} runs")
        + "."
    )
    if any(np.isfinite(steps.get("generator", [])).any() for steps, _ in curves):
        caption += (
            " L_G settles at 2 ln 2 = 1.386 where the discriminator cannot tell the modalities apart. L_D is logged "
            "as D minimizes it, with eq. 20's sign turned."
        )
    return finished(
        figure, f"fig8-{group.name}", f"Fig. 8: losses of {group.name} on {group.corpus}", caption, sources
    )


@styled
def plot_losses(run, path):
    """Draw every loss in RUN/metrics.csv and the accuracies in RUN/validation.csv as a PNG file.

    Raises:
        ValueError: a file is missing or no table of numbers, or matplotlib is not installed.
    """
    draw_losses([(read_columns(run, METRICS, ["step"]), _validation(run))]).savefig(path, dpi=120)


def _validation(run):
    return read_columns(run, VALIDATION, ["epoch", *SCORES])


def draw_losses(curves):
    """Panels of losses and validation; `curves` holds the columns of metrics.csv and validation.csv of each run."""
    names = [name for name in LOSSES if any(np.isfinite(steps.get(name, [])).any() for steps, _ in curves)]
    figure, axes = new_figure(len(names) + 1)
    for name, axis in zip(names, axes, strict=False):
        for steps, _ in curves:
            if name in steps:
                _draw_loss(axis, steps["step"], steps[name], single=len(curves) == 1)
        if name == "generator":
            axis.axhline(GENERATOR_EQUILIBRIUM, color=VERMILION, linestyle="--", label="2 ln 2")
            axis.legend(frameon=False)
        axis.set(title=LOSSES[name], xlabel="step", ylabel="loss")
    for (name, label), color, style in zip(SCORES.items(), (BLUE, VERMILION), ("-", "--"), strict=True):
        for number, (_, epochs) in enumerate(curves):
            marker = "o" if len(epochs["epoch"]) == 1 else None  # a line of one point is none
            label = None if number else label
            axes[-1].plot(epochs["epoch"], 100 * epochs[name], style, color=color, marker=marker, label=label)
    axes[-1].set(title="validation", xlabel="epoch", ylabel="accuracy (%)", ylim=(0, 100))
    axes[-1].legend(frameon=False)
    return figure


def _draw_loss(axis, steps, values, single):
    known = np.isfinite(values)
    x, y = steps[known], values[known]
    if single:
        axis.plot(x, y, color=BLUE, alpha=0.3, linewidth=0.8, rasterized=True)
    window = max(1, len(y) // 50)
    smooth = np.convolve(y, np.ones(window) / window, mode="valid")
    axis.plot(x[window // 2 :][: len(smooth)], smooth, color=BLUE, alpha=1 if single else 0.6)


@styled
def confusion(corpus, groups):
    """Fig. 12: confusion matrices, rows in per cent of the true emotion, mean over each group's runs.

    None where no run has kept its matrix.
    """
    shown = [group for group in groups if all(run.matrix for run in group.runs)]
    if not shown:
        return None
    size = 1.4 + 0.34 * max(len(group.labels) for group in shown)
    figure, axes = new_figure(len(shown), size + 0.5, size, columns=3)
    for axis, group in zip(axes, shown, strict=True):
        shares = np.nanmean([_row_shares(np.array(run.matrix)) for run in group.runs], axis=0)
        _draw_matrix(axis, shares, group.labels)
        axis.set(title=group.name, xlabel="predicted", ylabel="true")
    sources = [run.source for group in shown for run in group.runs]
    caption = "Share of each true emotion's test recordings (a row adds up to 100 %), mean over folds and seeds."
    return finished(figure, f"fig12-{corpus}", f"Fig. 12: confusion matrices on {corpus}", caption, sources)


def _row_shares(matrix):
    """Rows in per cent; a class that a fold does not have is NaN, which the mean over folds leaves out."""
    total = matrix.sum(1, keepdims=True)
    return np.divide(100 * matrix, total, out=np.full(matrix.shape, np.nan), where=total > 0)


def _draw_matrix(axis, shares, labels):
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    places = range(len(labels))
    axis.set(xticks=places, yticks=places, yticklabels=labels)
    axis.set_xticks(places, labels, rotation=45, ha="right", rotation_mode="anchor")
    axis.spines[:].set_visible(False)
    for row in places:
        for column in places:
            if np.isfinite(share := shares[row, column]):
                color = "white" if share > 55 else "black"
                axis.text(column, row, f"{share:.0f}", ha="center", va="center", color=color, fontsize=7)


@styled
def plot_confusion_matrix(matrix, labels, path):
    """Draw counts (e, e), rows the true emotion, as a PNG file: each row in per cent, shaded by its share.

    Raises:
        ValueError: matplotlib is not installed.
    """
    size = 1.9 + 0.42 * len(labels)
    figure, (axis,) = new_figure(1, size, size)
    _draw_matrix(axis, _row_shares(np.asarray(matrix)), labels)
    axis.set(xlabel="predicted (% of the row)", ylabel="true")
    figure.savefig(path, dpi=120)


@styled
def sensitivity(corpus, groups):
    """Fig. 7: test accuracy by α, β, γ and λ, each changed alone; None where no two runs differ in one of them."""
    lines = sensitivity_lines(groups)
    if not lines:
        return None
    figure, axes = new_figure(len(lines))
    sources = []
    for axis, (weight, members) in zip(axes, lines.items(), strict=True):
        for (name, label), look in zip(SCORES.items(), ("o-", "s--"), strict=True):
            scores = [100 * np.mean(group.values(name)) for group in members]
            axis.plot(scores, look, color=BLUE if look == "o-" else VERMILION, fillstyle="none", label=label)
        axis.set_xticks(range(len(members)), [f"{_weights(group)[weight]:g}" for group in members])
        axis.set(title=f"{WEIGHTS[weight]} alone", xlabel=WEIGHTS[weight], ylabel="test accuracy (%)")
        axis.margins(0.15)
        axis.legend(frameon=False)
        sources += [run.source for group in members for run in group.runs]
    caption = "One weight of eq. 22 at a time, the others the same. The values are evenly spaced, whatever they are."
    return finished(figure, f"fig7-{corpus}", f"Fig. 7: sensitivity on {corpus}", caption, sources)


def sensitivity_lines(groups):
    """{weight: groups in its order} for each weight of eq. 22 in which runs differ that share all others."""
    networks = [group for group in groups if "objective" in group.first.results["config"]]
    lines = {}
    for weight in WEIGHTS:
        for base in networks:
            others = {name: value for name, value in _weights(base).items() if name != weight}
            same = [
                group
                for group in networks
                if group.protocol == base.protocol
                and others == {name: value for name, value in _weights(group).items() if name != weight}
            ]
            if len({_weights(group)[weight] for group in same}) > 1:
                lines[weight] = sorted(same, key=lambda group: _weights(group)[weight])
                break
    return lines


def _weights(group):
    """The weights of eq. 22, and what else must be equal for a run to lie on the same line."""
    config = group.first.results["config"]
    weights = {name: config["objective"][name] for name in WEIGHTS}
    training = {name: config.get("training", {}).get(name) for name in ("epochs", "batch_size", "learning_rate")}
    return {**weights, **training, "network": str(config["model"]["config"]), "text": config["data"]["text_column"]}
