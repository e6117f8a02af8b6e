"""The fusion: cross-modal attention, resampling, and the generator of the invariant representation."""

from typing import TYPE_CHECKING

import numpy as np

from experiments.method_figures.forward import Forward
from experiments.method_figures.streams import draw_map, name_tokens, new_figure
from m4ser.evaluation.report.figures import BLUE, VERMILION

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAPS = {
    "text_query_cme": "eq. 8: a token's weights over frames",
    "speech_query_cme": "eq. 9: a frame's weights over tokens, which have attended to frames",
    "text_specific": "eq. 10: a frame's weights over tokens",
}


def attention_maps(forward: Forward) -> "Figure":
    """Draw the three cross-modal attention maps, tokens by time."""
    figure = new_figure(0.8 + 0.42 * len(forward.tokens))
    for axis, (name, title) in zip(figure.subplots(len(MAPS), 1), MAPS.items(), strict=True):
        weights = forward.attention[name]
        by_token = weights if name == "text_query_cme" else weights.T
        draw_map(axis, by_token, (0, forward.seconds, len(forward.tokens), 0), vmin=0)
        name_tokens(axis, forward.tokens)
        axis.set_title(title, loc="left")
    axis.set_xlabel("time (s)")
    return figure


def resampling(forward: Forward) -> "Figure":
    """Draw how much of each token is in each frame of the stretched text, found from its states."""
    text, aligned = forward.states["text"], forward.states["aligned"]
    # The stretched states are means of two neighbors; their weights are the solution of a linear system.
    weights = np.linalg.lstsq(text.T, aligned.T, rcond=None)[0]
    figure = new_figure(0.8 + 0.17 * len(forward.tokens))
    axis = figure.subplots()
    draw_map(axis, weights, (0, len(aligned), len(text), 0), vmin=0, vmax=1)
    name_tokens(axis, forward.tokens)
    axis.set_xlabel("frame")
    axis.set_title(f"{len(text)} tokens become {len(aligned)} rows", loc="left")
    return figure


def generator_masks(forward: Forward) -> "Figure":
    """Draw what the two masks let pass over time, and how far the result is from the concatenation."""
    figure = new_figure(3.6)
    masks, change = figure.subplots(2, 1, sharex=True)
    time = (np.arange(len(forward.states["invariant"])) + 0.5) * forward.seconds / len(forward.states["invariant"])
    for name, color, label in (("speech_mask", BLUE, "of speech"), ("text_mask", VERMILION, "of text")):
        mask = forward.states[name]
        masks.fill_between(time, *np.quantile(mask, (0.25, 0.75), axis=1), color=color, alpha=0.2, linewidth=0)
        masks.plot(time, np.median(mask, axis=1), color=color, label=label)
    masks.set_ylim(0, 1)
    masks.set_title("masks of eq. 15: median over features, band of half of them", loc="left")
    masks.legend(loc="upper right", ncols=2)
    pairs = (("speech_specific", BLUE), ("text_specific", VERMILION), ("combined", "black"))
    for name, color in pairs:
        change.plot(time, _cosine(forward.states["invariant"], forward.states[name]), color=color, label=name)
    change.set_ylim(-1, 1)
    change.set_title("cosine similarity of the invariant representation with", loc="left")
    change.legend([name.replace("_", "-") for name, _ in pairs], frameon=False, ncols=3)
    change.set_xlabel("time (s)")
    change.set_xlim(0, forward.seconds)
    return figure


def _cosine(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return (one * other).sum(-1) / (np.linalg.norm(one, axis=-1) * np.linalg.norm(other, axis=-1))
