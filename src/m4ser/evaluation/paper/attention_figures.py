"""A figure of the cross-modal attention: which frames a token attends to, and which tokens a frame attends to."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from m4ser.evaluation.paper.representations import AttentionMaps, RunEncoder
from m4ser.evaluation.report.figures import Plot, finished, new_figure, styled
from m4ser.evaluation.report.runs import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PANELS = {
    "text_query_cme": "a token's weights over frames (eq. 8)",
    "speech_query_cme": "a frame's weights over tokens (eq. 9)",
    "text_specific": "a frame's weights over tokens (eq. 10)",
}
TOKEN_HEIGHT, AXIS_HEIGHT = 0.16, 0.95  # inches


@styled
def attention_figure(run: Run, encoder: RunEncoder, indices: Sequence[int], corpus: str) -> Plot:
    """Draw the attention maps between the frames and the tokens of some test recordings, a row of panels each."""
    rows = [encoder.rows[index] for index in indices]
    found = [encoder.attention_maps(row, encoder.column) for row in rows]
    height = AXIS_HEIGHT + TOKEN_HEIGHT * max(len(maps.tokens) for maps in found)
    figure, axes = new_figure(len(found) * len(PANELS), width=4.2, height=height, columns=len(PANELS))
    captions = []
    for number, (row, maps) in enumerate(zip(rows, found, strict=True)):
        letter = f"({'abcdefgh'[number]})"
        panels = axes[number * len(PANELS) :][: len(PANELS)]
        for axis, (name, title) in zip(panels, PANELS.items(), strict=True):
            _draw_map(axis, maps, name)
            axis.set_title(f"{letter} {title}")
        truth = encoder.rows.features["emotion"].names[row["emotion"]]
        captions.append(f"{letter} {row['id']}, truly {truth}, predicted {maps.prediction}")
    caption = (
        f"{'; '.join(captions)}. Mean over heads, dark is much, each panel scaled to its own maximum. The weights of "
        "a token over frames (eq. 8) and of a frame over tokens (eq. 9 and 10) add up to 1. In eq. 9 the tokens have "
        "attended to the frames before."
    )
    source = [run.folder / "model.safetensors"]
    return finished(figure, f"attention-{corpus}", f"Cross-modal attention on {corpus}", caption, source)


def _draw_map(axis: "Axes", maps: AttentionMaps, name: str) -> None:
    weights = maps.weights[name]
    by_token = weights if name == "text_query_cme" else weights.T
    count = len(maps.tokens)
    axis.imshow(
        by_token,
        aspect="auto",
        cmap="Blues",
        interpolation="nearest",
        vmin=0,
        vmax=max(float(by_token.max()), np.finfo(float).tiny),
        extent=(0, maps.seconds, count, 0),
    )
    axis.set_yticks(np.arange(count) + 0.5, maps.tokens, fontsize=7)
    axis.set_xlabel("time (s)")
