"""The figure of `experiments.sweep`: a panel for each factor."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from m4ser.evaluation.report.figures import MARKERS, PALETTE, finished, new_figure, styled
from m4ser.files import write_whole

FULL = "full"
ROWS = {  # and their titles; all but the first are named as in configs/ablations
    FULL: "M4SER",
    "concat": "speech and text concatenated",
    "without_auxiliary_tasks": "without both tasks",
    "without_strategies": "without both strategies",
}
AXES = {
    "word_error_rate": "word error rate (%)",
    "lost_cues": "cues lost (%)",
    "training_size": "training recordings",
}
LABELS = {"word_error_rate": "WER {} %", "lost_cues": "{} % of the cues lost", "training_size": "{} recordings"}
APART = 0.08  # between the intervals of two rows


def label(factor: str, scores: Mapping[str, Any]) -> str:
    """Say which value of a factor the scores are of."""
    return LABELS[factor].format(_value(factor, scores))


def _value(factor: str, scores: Mapping[str, Any]) -> str:
    """Return the value of a factor; the word error rate as it was measured, lost cues included."""
    if factor == "training_size":
        return f"{scores[factor]:,}"
    return f"{scores['test_word_error_rate'] if factor == 'word_error_rate' else 100 * scores[factor]:.0f}"


@styled
def draw(results: Mapping[str, Any], path: Path) -> None:
    """Draw UA by row and the ceiling over each factor's values, evenly spaced, as an SVG file."""
    figure, panels = new_figure(len(results["factors"]), width=3.2, height=3.2)
    for axis, (factor, settings) in zip(panels, results["factors"].items(), strict=True):
        positions = range(len(settings))
        axis.plot(positions, [scores["ceiling"] for scores in settings], "k--", label="best possible")
        for number, (row, title) in enumerate(ROWS.items()):
            scores = [setting["rows"][row] for setting in settings]
            middle = [score["ua"] for score in scores]
            # An interval of percentiles need not hold the value, and a length is not negative.
            below = [max(0, score["ua"] - score["low"]) for score in scores]
            above = [max(0, score["high"] - score["ua"]) for score in scores]
            axis.errorbar(
                [position + APART * (number - (len(ROWS) - 1) / 2) for position in positions],
                middle,
                (below, above),
                color=PALETTE[number],
                marker=MARKERS[number],
                markersize=4,
                linewidth=1,
                label=title,
            )
        axis.set_xticks(positions, [_value(factor, setting) for setting in settings])
        axis.set_xlabel(AXES[factor])
        axis.set_ylim(20, 102)  # 25 is chance
    panels[0].set_ylabel("UA (%)")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    plot = finished(figure, "sweep", "", "", [])
    write_whole(path, plot.svg)
