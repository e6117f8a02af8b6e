"""Measure how time and memory scale with audio length, batch size, corpus size, and number of errors to correct.

    python -m benchmarks.growth [--rounds 3] [--figure docs/figures/growth.png]

Uses the tiny preset with random weights, because only the scaling matters. A figure is the slope of the log-log curve
over the upper half of its sizes: 1 is linear. The goal leaves 0.1 for noise. Each point is measured in a new process,
so that none reuses memory that another has freed; its megabytes are the peak above the memory in use after a run of
the smallest size, its input included. Runs on the CPU. Prints JSON with every point of the curves.
"""

import argparse
import csv
import json
import statistics
import tempfile
import time
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

import datasets
import numpy as np
import soundfile
import torch

from benchmarks.synthetic_inputs import noise, random_model
from benchmarks.timing import report, resident_memory
from m4ser import M4SERPipeline
from m4ser.corpora.manifest import read_manifest
from m4ser.data.labels import add_labels
from m4ser.data.schema import SAMPLING_RATE
from m4ser.evaluation.report.figures import MARKERS, PALETTE

GOAL = 1.1
SLOW = 5  # seconds
FLOOR = 1.0  # megabytes: below this the memory of a process is a matter of pages and arenas
HYPOTHESIS = "and so my fellow americans asked not what your country can do for"
TRANSCRIPT = "and so my fellow americans ask not what your country can do for you"


@dataclass
class Curve:
    """One quantity that is varied.

    Attributes:
        unit: Of the sizes.
        prepare: Maps a size to the callable that is timed.
        sizes: Increasing.
        judged: Whether it has a goal; attention is quadratic and has none.
        seconds, megabytes: The measured curve, one value per size.
    """

    unit: str
    prepare: object
    sizes: tuple
    judged: bool = True
    seconds: list = field(default_factory=list)
    megabytes: list = field(default_factory=list)


def main(arguments=None):
    """Measure, plot and print."""
    parser = argparse.ArgumentParser(description="Growth of time and memory.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--figure", type=Path, help="write a PNG of the curves")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder, fresh_processes() as pool:
        curves = make_curves(Path(folder))
        for name, curve in curves.items():
            measure(name, curve, Path(folder), pool, options.rounds)
    figures = {
        f"{kind} by {name}": slope(curve.sizes, getattr(curve, kind))
        for name, curve in curves.items()
        for kind in ("seconds", "megabytes")
    }
    goals = {figure: GOAL for figure in figures if curves[figure.split(" by ")[1]].judged}
    points = {
        name: {"unit": curve.unit, "sizes": curve.sizes, "seconds": curve.seconds, "megabytes": curve.megabytes}
        for name, curve in curves.items()
    }
    if options.figure:
        draw(curves, options.figure)
    print(json.dumps(report(figures, goals, preset="tiny", rounds=options.rounds, curves=points), indent=1))


def make_curves(folder):
    """Return the curves by name; their input files are written to `folder`."""
    model, processor = random_model("tiny", [HYPOTHESIS, TRANSCRIPT])
    classify = M4SERPipeline(model=model, processor=processor)
    return {
        "recording's length, in one piece": Curve(
            "s", lambda size: forward(model, processor, 1, size), (1, 2, 4, 8, 16, 32, 64, 120), judged=False
        ),
        "recording's length, timeline": Curve(
            "s", lambda size: timeline(classify, folder / "long.wav", size), (10, 60, 300, 1200, 3600, 10_800)
        ),
        "batch": Curve("recordings", lambda size: forward(model, processor, size, 5), (1, 2, 4, 8, 16, 32, 64)),
        "CHANGE positions": Curve("positions", lambda size: correct(model, size), (4, 16, 64, 256, 1024, 4096)),
        "labels": Curve("rows", lambda size: label(processor.tokenizer, size), (1000, 10_000, 100_000, 1_000_000)),
        "manifest": Curve("rows", lambda size: load_manifest(folder, size), (1000, 10_000, 100_000, 1_000_000)),
    }


def forward(model, processor, batch, seconds):
    """Prepare a forward pass on a batch of recordings, each in one piece."""
    inputs = processor([noise(seconds)] * batch, [HYPOTHESIS] * batch, sampling_rate=SAMPLING_RATE)
    return lambda: model(**inputs)


def timeline(classify, path, seconds):
    """Prepare the pipeline on a file of any length, in windows of 5 s, reading included."""
    minute = noise(60)
    with soundfile.SoundFile(path, "w", SAMPLING_RATE, 1) as file:
        for start in range(0, seconds, 60):
            file.write(minute[: SAMPLING_RATE * (seconds - start)])
    source = {"path": str(path), "text": ""}
    return lambda: sum(1 for _ in classify.timeline(source, window=5))


def correct(model, positions):
    """Prepare the decoding of all CHANGE positions in parallel, four positions per text of 20 tokens."""
    texts = max(1, positions // 4)
    states = torch.randn(texts, 20, model.config.hidden_size)
    rows, indices = torch.arange(positions) % texts, torch.arange(positions) % 20
    mask = torch.ones(positions, 20, dtype=torch.bool)
    embeddings = model.get_input_embeddings()
    return lambda: model.error_corrector.generate(states[rows, indices], states[rows], mask, embeddings)


def label(tokenizer, rows):
    """Prepare the labels of error detection and correction for a dataset of `rows` texts."""
    corpus = datasets.Dataset.from_dict({"hypothesis": [HYPOTHESIS] * rows, "transcript": [TRANSCRIPT] * rows})
    return lambda: add_labels(corpus, tokenizer)


def load_manifest(folder, rows):
    """Prepare loading and checking a manifest of `rows` rows, which all name the same recording."""
    soundfile.write(folder / "speech.wav", noise(1), SAMPLING_RATE)
    path = folder / "manifest.csv"
    with path.open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["id", "path", "emotion", "transcript", "hypothesis", "speaker"])
        for row in range(rows):
            lines.writerow([row, "speech.wav", "neutral", TRANSCRIPT, HYPOTHESIS, row % 100])
    return lambda: read_manifest(path)


def fresh_processes():
    """Return a pool that runs each call in a new process with the imports already done."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["benchmarks.growth"])
    return context.Pool(1, maxtasksperchild=1)


def measure(name, curve, folder, pool, rounds):
    """Set a curve's seconds (median) and megabytes (maximum), one pass over the sizes per round; slow ones once."""
    found = [[] for _ in curve.sizes]
    for _ in range(rounds):
        for size, points in zip(curve.sizes, found, strict=True):
            if max(points, default=(0,))[0] < SLOW:
                points.append(pool.apply(measure_point, (name, size, folder)))
    curve.seconds = [statistics.median(seconds for seconds, _ in points) for points in found]
    curve.megabytes = [max(FLOOR, *(megabytes for _, megabytes in points)) for points in found]


@torch.inference_mode()
def measure_point(name, size, folder):
    """Return seconds and megabytes for one size of one curve."""
    datasets.disable_progress_bars()
    curve = make_curves(folder)[name]
    curve.prepare(curve.sizes[0])()  # warm-up
    before = resident_memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    action = curve.prepare(size)
    start = time.perf_counter()
    action()
    return time.perf_counter() - start, resident_memory("VmHWM") - before


def slope(sizes, values):
    """Return the slope of the log-log line fitted to the upper half of the points."""
    half = (len(sizes) - 1) // 2
    return float(np.polyfit(np.log(sizes[half:]), np.log(values[half:]), 1)[0])


def draw(curves, path):
    """Plot time and memory over size, each as a fraction of its value at the largest size."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    panels = figure.subplots(1, 2, sharex=True)
    for panel, kind in zip(panels, ("seconds", "megabytes"), strict=True):
        for (name, curve), color, marker in zip(curves.items(), PALETTE, MARKERS, strict=False):
            sizes, values = np.array(curve.sizes), np.array(getattr(curve, kind))
            style = {} if curve.judged else {"linestyle": ":"}
            panel.loglog(sizes / sizes[-1], values / values[-1], color=color, marker=marker, label=name, **style)
        panel.loglog([1e-3, 1], [1e-3, 1], color="gray", linestyle="--", linewidth=1, label="linear")
        panel.set_xlabel("size / largest size")
        panel.set_ylabel(f"{kind} / {kind} of the largest size")
        panel.grid(alpha=0.3)
    panels[0].legend(fontsize=7)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
