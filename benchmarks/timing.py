"""What the benchmarks of speed share: things timed in turn in one process, and a report with goals."""

import ctypes
import statistics
import time
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import torch

from m4ser.environment import hardware

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
    """The median of each round's ratio, from which the machine's mood has canceled."""
    return statistics.median(one / other for one, other in zip(seconds, others, strict=True))


@contextmanager
def peak_memory():
    """Its `megabytes`, once it is left: how far this process rose above where it was when it was entered.

    On a GPU what torch allocated there; else resident memory.
    """
    found = SimpleNamespace()
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        yield found
        found.megabytes = (torch.cuda.max_memory_allocated() - before) / 2**20
    else:
        ctypes.CDLL(None).malloc_trim(0)  # else what was freed before and kept for later use would be used unseen
        before = resident_memory("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        yield found
        found.megabytes = resident_memory("VmHWM") - before


def resident_memory(name):
    """Megabytes of this process, as Linux counts them: VmRSS now, VmHWM at its peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name))


def report(figures, at_most=None, at_least=None, **settings):
    """What a benchmark prints: its figures, the goals that some of them have, and how it came by them."""
    at_most, at_least = at_most or {}, at_least or {}
    met = {name: figures[name] <= goal for name, goal in at_most.items()}
    met |= {name: figures[name] >= goal for name, goal in at_least.items()}
    return {
        "figures": figures,
        "at_most": at_most,
        "at_least": at_least,
        "met": met,
        **settings,
        "seed": SEED,
        "hardware": hardware(),
        "versions": {name: version(name) for name in LIBRARIES},
    }
