"""How time and memory grow: with the audio, the batch, the corpus, and the errors to correct.

python -m benchmarks.growth [--rounds 3] [--figure docs/figures/growth.png]

The tiny preset with random weights, because it is the growth that counts. A figure is the slope on log-log paper over
the upper half of a curve's sizes: 1 is linear. The goal leaves 0.1 for noise. Each point is measured in a process of
its own, so that none uses memory that another has left; its megabytes are the peak above those that the smallest size
has left there, its input included. On the CPU. Prints JSON, with every point of the curves.
"""

import argparse
import csv
import json
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

import datasets
import numpy as np
import soundfile
import torch

from benchmarks.synthetic_inputs import noise, random_model
from benchmarks.timing import report, resident_memory
from datasets_builders.manifest import read_manifest
from m4ser import M4SERPipeline
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
    """One thing that grows. `prepare` makes of a size what is timed; `judged` is False for what holds attention."""

    unit: str
    prepare: object
    sizes: tuple
    judged: bool = True
    seconds: list = field(default_factory=list)
    megabytes: list = field(default_factory=list)


def main(arguments=None):
    """Measure, draw, print."""
    parser = argparse.ArgumentParser(description="Growth of time and memory.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--figure", type=Path, help="a PNG of the curves")
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
    """By name; the files that they read go into `folder`."""
    model, processor = random_model("tiny", [HYPOTHESIS, TRANSCRIPT])
    classify = M4SERPipeline(model=model, processor=processor)
    return {
        "recording's length, in one piece": Curve(
            "s", lambda size: answer(model, processor, 1, size), (1, 2, 4, 8, 16, 32, 64, 120), judged=False
        ),
        "recording's length, timeline": Curve(
            "s", lambda size: timeline(classify, folder / "long.wav", size), (10, 60, 300, 1200, 3600, 10_800)
        ),
        "batch": Curve("recordings", lambda size: answer(model, processor, size, 5), (1, 2, 4, 8, 16, 32, 64)),
        "CHANGE positions": Curve("positions", lambda size: correct(model, size), (4, 16, 64, 256, 1024, 4096)),
        "labels": Curve("rows", lambda size: label(processor.tokenizer, size), (1000, 10_000, 100_000, 1_000_000)),
        "manifest": Curve("rows", lambda size: read(folder, size), (1000, 10_000, 100_000, 1_000_000)),
    }


def answer(model, processor, batch, seconds):
    """The network on a batch of recordings, each as a whole."""
    inputs = processor([noise(seconds)] * batch, [HYPOTHESIS] * batch, sampling_rate=SAMPLING_RATE)
    return lambda: model(**inputs)


def timeline(classify, path, seconds):
    """The pipeline on a recording of any length, in windows of 5 s, from the file on."""
    minute = noise(60)
    with soundfile.SoundFile(path, "w", SAMPLING_RATE, 1) as file:
        for start in range(0, seconds, 60):
            file.write(minute[: SAMPLING_RATE * (seconds - start)])
    source = {"path": str(path), "text": ""}
    return lambda: sum(1 for _ in classify.timeline(source, window=5))


def correct(model, positions):
    """All replacements of so many CHANGE positions, written in parallel, four of them a text of 20 tokens."""
    texts = max(1, positions // 4)
    states = torch.randn(texts, 20, model.config.hidden_size)
    rows, places = torch.arange(positions) % texts, torch.arange(positions) % 20
    mask = torch.ones(positions, 20, dtype=torch.bool)
    embeddings = model.get_input_embeddings()
    return lambda: model.error_corrector.generate(states[rows, places], states[rows], mask, embeddings)


def label(tokenizer, rows):
    """The columns of error detection and correction for a dataset of so many texts."""
    corpus = datasets.Dataset.from_dict({"hypothesis": [HYPOTHESIS] * rows, "transcript": [TRANSCRIPT] * rows})
    return lambda: add_labels(corpus, tokenizer)


def read(folder, rows):
    """A manifest of so many rows, read and checked; one recording serves them all."""
    soundfile.write(folder / "speech.wav", noise(1), SAMPLING_RATE)
    path = folder / "manifest.csv"
    with path.open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["id", "path", "emotion", "transcript", "hypothesis", "speaker"])
        for row in range(rows):
            lines.writerow([row, "speech.wav", "neutral", TRANSCRIPT, HYPOTHESIS, row % 100])
    return lambda: read_manifest(path)


def fresh_processes():
    """Runs every call in a process that has imported all this and done nothing yet."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["m4ser.data.labels", "datasets_builders.manifest"])
    return ProcessPoolExecutor(max_workers=1, mp_context=context, max_tasks_per_child=1)


def measure(name, curve, folder, pool, rounds):
    """Fill in a curve's seconds (median) and megabytes (largest), the sizes taken in turn; the slow ones only once."""
    found = [[] for _ in curve.sizes]
    for _ in range(rounds):
        for size, points in zip(curve.sizes, found, strict=True):
            if max(points, default=(0,))[0] < SLOW:
                points.append(pool.submit(measure_point, name, size, folder).result())
    curve.seconds = [statistics.median(seconds for seconds, _ in points) for points in found]
    curve.megabytes = [max(FLOOR, *(megabytes for _, megabytes in points)) for points in found]


@torch.inference_mode()
def measure_point(name, size, folder):
    """Seconds and megabytes of one size of one curve."""
    datasets.disable_progress_bars()
    curve = make_curves(folder)[name]
    curve.prepare(curve.sizes[0])()  # warming up
    before = resident_memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    action = curve.prepare(size)
    start = time.perf_counter()
    action()
    return time.perf_counter() - start, resident_memory("VmHWM") - before


def slope(sizes, values):
    """Of the straight line through the upper half of the points, both axes logarithmic."""
    half = (len(sizes) - 1) // 2
    return float(np.polyfit(np.log(sizes[half:]), np.log(values[half:]), 1)[0])


def draw(curves, path):
    """Both quantities over the size of what grows, as a multiple of their values at its largest size."""
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
