"""What goes into the network and what comes out: waveform, states, scores."""

from typing import TYPE_CHECKING

import numpy as np

from experiments.method_figures.forward import Forward
from m4ser.evaluation.report.figures import BLUE, VERMILION

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 5.2  # inches: read on a phone, too
GRAY = "#666666"


def new_figure(height: float) -> "Figure":
    """Return an empty figure of the page's width."""
    from matplotlib.figure import Figure

    return Figure(figsize=(WIDTH, height), layout="constrained")


def draw_waveform(axis: "Axes", forward: Forward) -> None:
    """Draw the samples over time."""
    time = np.arange(len(forward.samples)) / 16_000
    axis.plot(time, forward.samples, color=GRAY, linewidth=0.4, rasterized=True)
    axis.set_xlim(0, forward.seconds)
    axis.set_yticks([])
    axis.set_xlabel("time (s)")


def draw_map(axis: "Axes", values: np.ndarray, extent: tuple[float, float, float, float], **options: object) -> None:
    """Draw a matrix, its first row at the top."""
    axis.imshow(values, aspect="auto", interpolation="nearest", extent=extent, **{"cmap": "Blues", **options})


def name_tokens(axis: "Axes", tokens: list[str]) -> None:
    """Write the tokens beside the rows of a map."""
    axis.set_yticks(np.arange(len(tokens)) + 0.5, tokens, fontsize=7)


def encoders(forward: Forward) -> "Figure":
    """Draw the recording, H_S by frame and H_T by token."""
    figure = new_figure(5.4)
    wave, speech, text = figure.subplots(3, 1, height_ratios=[1, 1.6, 2.2])
    draw_waveform(wave, forward)
    wave.set_title(f"the recording: {len(forward.samples):,} samples")
    for axis, name, symbol, extent in (
        (speech, "speech", "$H_S$", (0, forward.seconds, forward.states["speech"].shape[1], 0)),
        (text, "text", "$H_T$", (0, forward.states["text"].shape[1], len(forward.tokens), 0)),
    ):
        states = forward.states[name]
        most = np.abs(states).max()
        draw_map(axis, states.T if name == "speech" else states, extent, cmap="RdBu_r", vmin=-most, vmax=most)
        steps = "frames" if name == "speech" else "tokens"
        axis.set_title(f"{symbol}: {states.shape[0]} {steps}, {states.shape[1]} features each")
    speech.set_xlabel("time (s)")
    speech.set_ylabel("feature")
    text.set_xlabel("feature")
    name_tokens(text, forward.tokens)
    return figure


def emotion_scores(forward: Forward) -> "Figure":
    """Draw the three streams' means over time, and the scores."""
    figure = new_figure(3.4)
    means, scores = figure.subplots(2, 1, height_ratios=[1.3, 1])
    names = ("speech_specific", "text_specific", "invariant")
    pooled = np.stack([forward.states[name].mean(0) for name in names])
    rows = np.concatenate([pooled, pooled.mean(0, keepdims=True)])
    most = np.abs(rows).max()
    draw_map(means, rows, (0, rows.shape[1], len(rows), 0), cmap="RdBu_r", vmin=-most, vmax=most)
    labels = ["speech-specific", "text-specific", "invariant", "their mean"]
    means.set_yticks(np.arange(len(rows)) + 0.5, labels)
    means.set_title(f"means over {len(forward.states['invariant'])} frames")
    means.set_xlabel("feature")
    draw_scores(scores, forward)
    return figure


def draw_scores(axis: "Axes", forward: Forward) -> None:
    """Draw a bar for each emotion."""
    best = int(forward.scores.argmax())
    colors = [VERMILION if index == best else BLUE for index in range(len(forward.labels))]
    bars = axis.barh(forward.labels, forward.scores, color=colors)
    axis.bar_label(bars, fmt="%.2f", padding=3)
    axis.set_xlim(0, 1.15)
    axis.set_xticks([0, 0.5, 1])
    axis.invert_yaxis()
    axis.set_title(f"scores; annotated: {forward.emotion}", loc="left")


def prediction(forward: Forward) -> "Figure":
    """Draw the README's picture: recording, attention of the text to it, errors found and corrected, scores."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1.5 * WIDTH, 3.2), layout="constrained")
    grid = figure.add_gridspec(2, 2, height_ratios=[1, 2.4], width_ratios=[2.2, 1])
    wave, attention, scores = (figure.add_subplot(grid[position]) for position in ((0, 0), (1, 0), (slice(2), 1)))
    draw_waveform(wave, forward)
    wave.set_xlabel("")
    wave.set_title(f"hypothesis, errors in brackets: {forward.marked}\ncorrected: {forward.corrected}", loc="left")
    draw_map(attention, forward.attention["text_query_cme"], (0, forward.seconds, len(forward.tokens), 0))
    name_tokens(attention, forward.tokens)
    attention.set_title("attention of the text's tokens to the recording", loc="left")
    attention.set_xlabel("time (s)")
    draw_scores(scores, forward)
    return figure
