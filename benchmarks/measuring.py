"""What the benchmarks of speed share: things timed in turn in one process, and a report with goals."""

import statistics
import time
from importlib.metadata import version

import torch

from m4ser.training.records import hardware

SEED = 0
LIBRARIES = ("torch", "transformers", "accelerate")


def in_turn(actions, rounds):
    """Seconds of each action, by its name: a list of one value a round.

    All take their turn in each round, so that a machine with other work slows all of them. One more round comes
    first, for warming up.
    """
    seconds = {name: [] for name in actions}
    for turn in range(rounds + 1):
        for name, action in actions.items():
            start = time.perf_counter()
            action()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def median_ratio(seconds, others):
    """The median of each round's ratio, from which the machine's mood has cancelled."""
    return statistics.median(one / other for one, other in zip(seconds, others, strict=True))


def report(figures, goals, **settings):
    """What a benchmark prints: its figures, the goals that some of them must not exceed, and how it came by them."""
    return {
        "figures": figures,
        "goals": goals,
        "met": {name: figures[name] <= goal for name, goal in goals.items()},
        **settings,
        "seed": SEED,
        "hardware": hardware(),
        "versions": {name: version(name) for name in LIBRARIES},
    }
