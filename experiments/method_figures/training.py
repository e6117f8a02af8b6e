"""The two strategies of training: the adversary and the contrastive loss."""

from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from experiments.method_figures.streams import draw_map, new_figure
from m4ser.evaluation.report.figures import BLUE, GENERATOR_EQUILIBRIUM, VERMILION
from m4ser.run_folder import METRICS, read_columns

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SMOOTHED = 20  # steps


def adversary(run: Path) -> "Figure":
    """Draw L_G and D's opinion of the invariant representation over the steps of training."""
    columns = read_columns(run, METRICS, ("step", "generator", "invariant_probability"))
    figure = new_figure(3.4)
    loss, opinion = figure.subplots(2, 1, sharex=True)
    for axis, name, level, title in (
        (loss, "generator", GENERATOR_EQUILIBRIUM, "$L_G$; dashed: 2 ln 2"),
        (opinion, "invariant_probability", 0.5, "mean of D of the invariant frames; dashed: 0.5"),
    ):
        axis.plot(columns["step"], columns[name], color=BLUE, linewidth=0.5, alpha=0.4)
        axis.plot(columns["step"], _smoothed(columns[name]), color=VERMILION)
        axis.axhline(level, color="black", linestyle="--", linewidth=0.8)
        axis.set_title(title, loc="left")
    opinion.set_ylim(0, 1)
    opinion.set_xlabel("step")
    return figure


def similarities(embeddings: np.ndarray, emotions: list[str]) -> "Figure":
    """Draw the cosine similarity of every two recordings."""
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    figure = new_figure(4.2)
    axis = figure.subplots()
    count = len(unit)
    draw_map(axis, unit @ unit.T, (0, count, count, 0), cmap="RdBu_r", vmin=-1, vmax=1)
    axis.set_aspect("equal")
    groups = [(name, len(list(members))) for name, members in groupby(emotions)]
    ends = np.cumsum([size for _, size in groups])
    for end in ends[:-1]:
        axis.axhline(end, color="black", linewidth=0.6)
        axis.axvline(end, color="black", linewidth=0.6)
    middles = ends - np.array([size for _, size in groups]) / 2
    axis.set_xticks(middles, [name for name, _ in groups])
    axis.set_yticks(middles, [name for name, _ in groups])
    figure.colorbar(axis.images[0], shrink=0.7, label="cosine similarity")
    return figure


def _smoothed(values: np.ndarray) -> np.ndarray:
    """Return the mean over the steps before and after, as far as there are any."""
    kernel = np.ones(min(SMOOTHED, len(values)))
    return np.convolve(values, kernel, "same") / np.convolve(np.ones(len(values)), kernel, "same")
