"""The paper's figures that runs' own files can fill: Fig. 6 (recordings by emotion) and Fig. 7 (sensitivity)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from m4ser.evaluation.paper.published import published
from m4ser.evaluation.report.figures import BLUE, SCORES, VERMILION, Plot, finished, new_figure, styled
from m4ser.evaluation.report.runs import Group
from m4ser.losses import WEIGHT_SYMBOLS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GRAY = "#999999"
# Readings of the paper's losses, and those of runs that are older than the choice.
READINGS = {"loss_reduction": "mean", "contrastive_include_self": False}


@styled
def label_counts(groups: Sequence[Group]) -> Plot:
    """Draw Fig. 6: recordings by emotion, as published and as tested here."""
    ours: dict[str, Group] = {}
    for group in groups:
        if group.corpus not in ours and all(run.matrix for run in group.runs):
            ours[group.corpus] = group
    figure, axes = new_figure(2 + len(ours), width=3.4, height=2.6, columns=3)
    for axis, (corpus, counts) in zip(axes, published()["6"].items(), strict=False):
        _bars(axis, f"{corpus} (published)", list(counts), list(counts.values()), GRAY)
    sources = []
    for axis, (corpus, group) in zip(axes[2:], ours.items(), strict=True):
        seed = group.first.results["seed"]
        members = [run for run in group.runs if run.results["seed"] == seed]
        counts = np.sum([run.matrix or [] for run in members], axis=(0, 2)).tolist()
        _bars(axis, f"{corpus} (tested here)", group.labels, counts, BLUE)
        sources += [run.source for run in members]
    caption = (
        "Recordings by emotion. Published: the whole corpora; MELD's classes add up to 13,095 in the paper, its "
        "splits to 13,708. Tested here: the test recordings of the first run on each corpus, all folds together."
    )
    return finished(figure, "fig6", "Fig. 6: recordings by emotion", caption, sources)


def _bars(axis: "Axes", title: str, names: Sequence[str], counts: Sequence[int], color: str) -> None:
    axis.barh(range(len(names)), counts, color=color)
    axis.set(title=title, xlabel="recordings", yticks=range(len(names)), yticklabels=names)
    axis.invert_yaxis()
    axis.margins(x=0.22)
    for index, count in enumerate(counts):
        axis.annotate(f"{count:,}", (count, index), (3, 0), textcoords="offset points", va="center", fontsize=8)


@styled
def sensitivity(corpus: str, groups: Sequence[Group]) -> Plot | None:
    """Draw Fig. 7: test accuracy by α, β, γ and λ, each changed alone; None where no runs differ in one."""
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
        axis.set(title=f"{WEIGHT_SYMBOLS[weight]} alone", xlabel=WEIGHT_SYMBOLS[weight], ylabel="test accuracy (%)")
        axis.margins(0.15)
        axis.legend(frameon=False)
        sources += [run.source for group in members for run in group.runs]
    caption = "One weight of eq. 22 at a time, the others the same. The values are evenly spaced, whatever they are."
    return finished(figure, f"fig7-{corpus}", f"Fig. 7: sensitivity on {corpus}", caption, sources)


def sensitivity_lines(groups: Sequence[Group]) -> dict[str, list[Group]]:
    """Return {weight: groups in its order} for each weight of eq. 22 in which runs differ that share all others."""
    networks = [group for group in groups if "objective" in group.first.results["config"]]
    lines: dict[str, list[Group]] = {}
    for weight in WEIGHT_SYMBOLS:
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


def _weights(group: Group) -> dict[str, Any]:
    """Return the weights of eq. 22, and what else must be equal for a run to lie on the same line."""
    config = group.first.results["config"]
    # A run that is older than a loss was trained without it.
    weights = {name: config["objective"].get(name, 0.0) for name in WEIGHT_SYMBOLS}
    readings = {name: config["objective"].get(name, default) for name, default in READINGS.items()}
    training = {name: config.get("training", {}).get(name) for name in ("epochs", "batch_size", "learning_rate")}
    network = {name: str(config["model"].get(name)) for name in ("system", "config")}
    return {**weights, **readings, **training, **network, "text": config["data"]["text_column"]}
