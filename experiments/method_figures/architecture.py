"""The network as boxes and arrows, with the shapes of a real forward."""

from typing import TYPE_CHECKING

from experiments.method_figures.forward import Forward
from experiments.method_figures.streams import WIDTH
from m4ser.evaluation.report.figures import BLUE, VERMILION

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.patches import FancyBboxPatch

SPEECH, TEXT, BOTH, NEUTRAL = "#D6E8F4", "#FBE3D2", "#E3E0F0", "#EEEEEE"
LEFT, MIDDLE, RIGHT = 1.7, 5.0, 8.3
HALF_WIDTH, HALF_HEIGHT = 1.52, 0.42
# (from, to) of each arrow; dashed ones exist in training, or on request.
ARROWS = (
    ("recording", "speech_encoder"),
    ("hypothesis", "text_encoder"),
    ("speech_encoder", "speech_specific"),
    ("speech_encoder", "text_specific"),
    ("speech_encoder", "combined"),
    ("text_encoder", "speech_specific"),
    ("text_encoder", "text_specific"),
    ("text_encoder", "combined"),
    ("speech_specific", "invariant"),
    ("text_specific", "invariant"),
    ("combined", "invariant"),
    ("speech_specific", "mean"),
    ("text_specific", "mean"),
    ("invariant", "mean"),
    ("mean", "emotion"),
)
OPTIONAL_ARROWS = (("text_encoder", "auxiliary"),)


def boxes(forward: Forward) -> dict[str, tuple[float, float, str, str]]:
    """Return x, y, text and color of each box."""
    shapes = {name: "{} × {}".format(*forward.states[name].shape) for name in forward.states}
    return {
        "recording": (LEFT, 10.2, f"recording\n{len(forward.samples):,} samples", SPEECH),
        "hypothesis": (MIDDLE, 10.2, f"hypothesis\n{len(forward.tokens)} tokens", TEXT),
        "speech_encoder": (LEFT, 8.6, f"speech encoder\n$H_S$: {shapes['speech']}", SPEECH),
        "text_encoder": (MIDDLE, 8.6, f"text encoder\n$H_T$: {shapes['text']}", TEXT),
        "auxiliary": (RIGHT, 8.6, "detection and\ncorrection of errors", NEUTRAL),
        "speech_specific": (LEFT, 6.2, f"attention: speech-\nspecific, {shapes['speech_specific']}", SPEECH),
        "text_specific": (MIDDLE, 6.2, f"attention: text-\nspecific, {shapes['text_specific']}", TEXT),
        "combined": (RIGHT, 6.2, f"concatenation\n$H_{{ST}}$: {shapes['combined']}", BOTH),
        "invariant": (RIGHT, 4.0, f"generator: in-\nvariant, {shapes['invariant']}", BOTH),
        "mean": (MIDDLE, 2.2, f"mean over time\n{forward.states['invariant'].shape[1]} features", NEUTRAL),
        "emotion": (MIDDLE, 0.6, f"emotion\n{len(forward.labels)} scores", NEUTRAL),
    }


def architecture(forward: Forward) -> "Figure":
    """Draw which output enters which part."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, 5.6))
    axis = figure.add_axes((0, 0, 1, 1))
    axis.set_xlim(0, 10)
    axis.set_ylim(0, 10.8)
    axis.set_axis_off()
    drawn = boxes(forward)
    for arrows, style in ((ARROWS, "-"), (OPTIONAL_ARROWS, "--")):
        for start, end in arrows:
            color = {"speech_encoder": BLUE, "text_encoder": VERMILION}.get(start, "#444444")
            tip, tail = _ends(drawn[start][:2], drawn[end][:2])
            arrow = {
                "arrowstyle": "-|>",
                "color": color,
                "linestyle": style,
                "linewidth": 1,
                "shrinkA": 0,
                "shrinkB": 0,
            }
            axis.annotate("", xy=tip, xytext=tail, arrowprops=arrow)
    for x, y, text, color in drawn.values():
        left, bottom = x - HALF_WIDTH, y - HALF_HEIGHT
        axis.add_patch(_box(left, bottom, color))
        axis.text(x, y, text, ha="center", va="center", fontsize=8.5)
    return figure


def _ends(start: tuple[float, float], end: tuple[float, float]) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the tip and the tail of an arrow between boxes, sideways where they stand in one row."""
    (x, y), (to_x, to_y) = start, end
    if y == to_y:
        return (to_x - HALF_WIDTH, to_y), (x + HALF_WIDTH, y)
    # Arrows from different boxes meet a box at different points of its edge.
    offset = (x - to_x) / 8
    return (to_x + offset, to_y + HALF_HEIGHT), (x - offset, y - HALF_HEIGHT)


def _box(left: float, bottom: float, color: str) -> "FancyBboxPatch":
    from matplotlib.patches import FancyBboxPatch

    size, shape = (2 * HALF_WIDTH, 2 * HALF_HEIGHT), "round,pad=0,rounding_size=0.15"
    return FancyBboxPatch((left, bottom), *size, boxstyle=shape, facecolor=color, edgecolor="#888888")
