"""The two auxiliary tasks on the text: detection and correction."""

from typing import TYPE_CHECKING

import numpy as np

from experiments.method_figures.forward import Forward
from experiments.method_figures.streams import new_figure
from m4ser.evaluation.report.figures import BLUE, PALETTE, VERMILION

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TAGS = {"KEEP": "#BBBBBB", "DELETE": PALETTE[4], "CHANGE": VERMILION}
MOST_STEPS = 4


def detection(forward: Forward) -> "Figure":
    """Draw the probability of each tag of each token but [SEP], which has none."""
    tokens, tags = forward.tokens[:-1], forward.tags[:-1]
    figure = new_figure(0.9 + 0.2 * len(tokens))
    axis = figure.subplots()
    rows, left = np.arange(len(tokens)), np.zeros(len(tokens))
    for (tag, color), share in zip(TAGS.items(), tags.T, strict=True):
        axis.barh(rows, share, left=left, color=color, label=tag)
        left = left + share
    axis.set_yticks(rows, tokens)
    axis.invert_yaxis()
    axis.set_xlim(0, 1)
    axis.set_xlabel("probability")
    figure.legend(loc="outside upper center", ncols=len(TAGS), frameon=False)
    return figure


def correction_steps(forward: Forward) -> "Figure":
    """Draw the candidates of each step of the first replacement, or say that none was needed."""
    if not forward.replacements:
        figure = new_figure(0.8)
        figure.text(0.5, 0.5, "no CHANGE was detected", ha="center", va="center")
        return figure
    position, steps = next(iter(forward.replacements.items()))
    steps = steps[:MOST_STEPS]
    figure = new_figure(0.7 + 1.1 * len(steps))
    for number, (axis, candidates) in enumerate(
        zip(figure.subplots(len(steps), 1, squeeze=False).flat, steps, strict=True)
    ):
        names, probabilities = zip(*candidates, strict=True)
        rows = np.arange(len(names))
        colors = [VERMILION, *[BLUE] * (len(names) - 1)]
        axis.bar_label(axis.barh(rows, probabilities, color=colors), fmt="%.2f", padding=3)
        axis.set_yticks(rows, names)
        axis.invert_yaxis()
        axis.set_xlim(0, 1.15)
        axis.set_xticks([0, 0.5, 1])
        axis.set_title(f"step {number + 1}", loc="left")
    figure.suptitle(f'in exchange for "{forward.tokens[position]}"', fontsize=9)
    return figure
