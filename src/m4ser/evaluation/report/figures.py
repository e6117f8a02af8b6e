"""Figures from a run's own files, in colors that any eye tells apart and that survive a black printer."""

import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np

from m4ser.evaluation.report.runs import Group
from m4ser.files import whole_file
from m4ser.losses import OBJECTIVES, objective_of
from m4ser.run_folder import METRICS, PROGRESS_COLUMNS, VALIDATION, read_columns

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Parameters = ParamSpec("Parameters")
Returned = TypeVar("Returned")
Columns = Mapping[str, np.ndarray]  # of metrics.csv or validation.csv

TOTAL = "total"  # the joint loss
SCORES = {"weighted_accuracy": "WA", "unweighted_accuracy": "UA"}
# Where the discriminator cannot tell the modalities apart, both of L_G's terms are ln 2 (the paper's Fig. 8).
GENERATOR_EQUILIBRIUM = 2 * math.log(2)
# Eq. 20's terms as the paper plots them: D maximizes both.
ADVERSARIAL = {"L_D": "discriminator, L_D", "L_GAN": "adversarial, L_GAN"}
# Okabe and Ito's palette, for any color vision; the markers distinguish classes without color.
BLUE, VERMILION = "#0072B2", "#D55E00"
PALETTE = (BLUE, VERMILION, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999933")
MARKERS = "osD^vPX*"
STYLE: dict[str, Any] = {
    "svg.hashsalt": "m4ser",
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
COLUMNS = 4
LOSS_COLUMNS = 5  # all losses of the paper and the validation fill two rows


@dataclass(frozen=True)
class Plot:
    """A figure as it goes into the report: `svg` and `png` are the files' bytes."""

    key: str
    title: str
    caption: str
    sources: list[str]
    svg: bytes
    png: bytes


def new_figure(
    panels: int, width: float = 2.7, height: float = 2.4, columns: int = COLUMNS
) -> "tuple[Figure, list[Axes]]":
    """Return a figure with room for so many panels, and those panels; without pyplot, which keeps every figure."""
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


def styled(draw: Callable[Parameters, Returned]) -> Callable[Parameters, Returned]:
    """Decorate `draw` so that it runs with our matplotlib settings, whatever the user's are."""

    @wraps(draw)
    def run(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Returned:
        try:
            from matplotlib import rc_context, rcParamsDefault
        except ImportError as error:
            raise ValueError("Figures need matplotlib: pip install 'm4ser[report]'.") from error
        settings: dict[Any, Any] = {
            name: value for name, value in rcParamsDefault.items() if not name.startswith("backend")
        }
        with rc_context(settings | STYLE):
            return draw(*args, **kwargs)

    return run


def finished(figure: "Figure", key: str, title: str, caption: str, sources: Sequence[str | Path]) -> Plot:
    """Render a figure, the same bytes for the same data: no date, and ids that come from the content."""
    files = {}
    formats: tuple[tuple[str, dict[str, None]], ...] = (("svg", {"Date": None}), ("png", {}))
    for kind, metadata in formats:
        buffer = io.BytesIO()
        figure.savefig(buffer, format=kind, dpi=150, metadata=metadata)
        files[kind] = buffer.getvalue()
    return Plot(key, title, caption, [Path(source).as_posix() for source in sources], files["svg"], files["png"])


@styled
def losses(group: Group) -> Plot | None:
    """Draw every loss by step, and validation by epoch, of each run of a group; None where only results were kept."""
    runs = [run for run in group.runs if any((run.folder / name).exists() for name in (METRICS, VALIDATION))]
    if not runs:
        return None
    curves = [_curves(run.folder) for run in runs]
    figure = draw_losses(curves)
    sources = [run.folder / name for run in runs for name in (METRICS, VALIDATION)]
    caption = (
        "Running means over a fiftieth of the run"
        + (", single steps behind them" if len(curves) == 1 else f", a line for each of {len(curves)} runs")
        + "."
    )
    if "generator" in logged_losses([steps for steps, _ in curves]):
        caption += (
            " L_G settles at 2 ln 2 = 1.386 where the discriminator cannot tell the modalities apart. L_D and L_GAN "
            "have eq. 20's sign, as in the paper: D maximizes L_GAN, and L_D rises to 0 where it knows speech from "
            f"text. {METRICS} has what D minimizes, -L_GAN."
        )
    return finished(figure, group.name, f"losses of {group.name} on {group.corpus}", caption, sources)


@styled
def plot_losses(run: str | Path, path: str | Path) -> None:
    """Draw every loss in RUN/metrics.csv and the accuracies in RUN/validation.csv as a PNG file.

    Raises:
        ValueError: a file is missing or no table of numbers, or matplotlib is not installed.
    """
    _save(draw_losses([_curves(run)]), path)


def _curves(run: str | Path) -> tuple[Columns, Columns]:
    return with_paper_signs(read_columns(run, METRICS, ["step"])), read_columns(run, VALIDATION, ["epoch", *SCORES])


def with_paper_signs(steps: Columns) -> Columns:
    """Return the columns of metrics.csv with ADVERSARIAL's instead of what D minimizes, -L_GAN."""
    columns = dict(steps)
    if {"generator", "discriminator"} <= columns.keys():
        l_gan = -columns.pop("discriminator")
        columns |= {"L_D": l_gan - columns["generator"], "L_GAN": l_gan}
    return columns


def logged_losses(runs: Sequence[Columns]) -> list[str]:
    """Return the names of the losses that any run has logged: of the objective table, a system's own, and the joint.

    Args:
        runs: columns of metrics.csv; whatever is none of PROGRESS_COLUMNS is a loss.
    """
    logged = dict.fromkeys(name for columns in runs for name, values in columns.items() if np.isfinite(values).any())
    own = [name for name in logged if name not in (*OBJECTIVES, *PROGRESS_COLUMNS, TOTAL)]
    return [name for name in (*OBJECTIVES, *own, TOTAL) if name in logged]


def draw_losses(curves: Sequence[tuple[Columns, Columns]]) -> "Figure":
    """Draw panels of losses and validation; `curves` are the columns of metrics.csv and validation.csv of each run."""
    names = logged_losses([steps for steps, _ in curves])
    figure, axes = new_figure(len(names) + 1, columns=LOSS_COLUMNS)
    for name, axis in zip(names, axes, strict=False):
        for steps, _ in curves:
            if name in steps:
                _draw_loss(axis, steps["step"], steps[name], single=len(curves) == 1)
        if name == "generator":
            axis.axhline(GENERATOR_EQUILIBRIUM, color=VERMILION, linestyle="--", label="2 ln 2")
            axis.legend(frameon=False)
        axis.set(title=ADVERSARIAL.get(name) or objective_of(name).title, xlabel="step", ylabel="loss")
    for (name, label), color, style in zip(SCORES.items(), (BLUE, VERMILION), ("-", "--"), strict=True):
        for number, (_, epochs) in enumerate(curves):
            marker = "o" if len(epochs["epoch"]) == 1 else None  # a line of one point is none
            axes[-1].plot(
                epochs["epoch"],
                100 * epochs[name],
                style,
                color=color,
                marker=marker,
                label=None if number else label,
            )
    axes[-1].set(title="validation", xlabel="epoch", ylabel="accuracy (%)", ylim=(0, 100))
    axes[-1].legend(frameon=False)
    return figure


def _draw_loss(axis: "Axes", steps: np.ndarray, values: np.ndarray, single: bool) -> None:
    known = np.isfinite(values)
    x, y = steps[known], values[known]
    if single:
        axis.plot(x, y, color=BLUE, alpha=0.3, linewidth=0.8, rasterized=True)
    window = max(1, len(y) // 50)
    smooth = np.convolve(y, np.ones(window) / window, mode="valid")
    axis.plot(x[window // 2 :][: len(smooth)], smooth, color=BLUE, alpha=1 if single else 0.6)


@styled
def confusion(corpus: str, groups: Sequence[Group]) -> Plot | None:
    """Draw confusion matrices, rows in per cent of the true emotion, mean over each group's runs.

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
    return finished(figure, corpus, f"confusion matrices on {corpus}", caption, sources)


def _row_shares(matrix: np.ndarray) -> np.ndarray:
    """Return rows in per cent; a class that a fold does not have is NaN, which the mean over folds leaves out."""
    total = matrix.sum(1, keepdims=True)
    return np.divide(100 * matrix, total, out=np.full(matrix.shape, np.nan), where=total > 0)


def _draw_matrix(axis: "Axes", shares: np.ndarray, labels: Sequence[str]) -> None:
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    ticks = range(len(labels))
    axis.set(xticks=ticks, yticks=ticks, yticklabels=labels)
    axis.set_xticks(ticks, labels, rotation=45, ha="right", rotation_mode="anchor")
    for spine in axis.spines.values():
        spine.set_visible(False)
    for row in ticks:
        for column in ticks:
            if np.isfinite(share := shares[row, column]):
                color = "white" if share > 55 else "black"
                axis.text(column, row, f"{share:.0f}", ha="center", va="center", color=color, fontsize=7)


@styled
def plot_confusion_matrix(
    matrix: Sequence[Sequence[int]] | np.ndarray, labels: Sequence[str], path: str | Path
) -> None:
    """Draw counts (e, e), rows the true emotion, as a PNG file: each row in per cent, shaded by its share.

    Raises:
        ValueError: matplotlib is not installed.
    """
    size = 1.9 + 0.42 * len(labels)
    figure, (axis,) = new_figure(1, size, size)
    _draw_matrix(axis, _row_shares(np.asarray(matrix)), labels)
    axis.set(xlabel="predicted (% of the row)", ylabel="true")
    _save(figure, path)


def _save(figure: "Figure", path: str | Path) -> None:
    with whole_file(path) as unfinished:
        figure.savefig(unfinished, format="png", dpi=120)
