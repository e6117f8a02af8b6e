"""Shared by the benchmarks: alternating timing in one process, peak memory, and a report with goals."""

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


def in_turn(actions, rounds, warm_up=True):
    """Return the seconds of each action by its name, a list with one value per round.

    Each round runs all actions, so that other load on the machine slows all of them, and every second round runs them
    in reverse, so that no action is always the first: the first one pays for page faults and cold caches. A warm-up
    round comes before, unless earlier calls have been one.
    """
    seconds = {name: [] for name in actions}
    for turn in range(0 if warm_up else 1, rounds + 1):
        order = list(actions.items())
        for name, action in reversed(order) if turn % 2 else order:
            start = time.perf_counter()
            action()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def median_ratio(seconds, others):
    """Return the median over rounds of the ratio, in which other load on the machine cancels."""
    return statistics.median(one / other for one, other in zip(seconds, others, strict=True))


@contextmanager
def peak_memory():
    """Yield an object whose `megabytes` is set on exit: the peak memory above the memory in use on entry.

    On a GPU this is what torch allocated; otherwise resident memory.
    """
    found = SimpleNamespace()
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        yield found
        found.megabytes = (torch.cuda.max_memory_allocated() - before) / 2**20
    else:
        ctypes.CDLL(None).malloc_trim(0)  # otherwise memory freed earlier but kept would be reused uncounted
        before = resident_memory("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # resets the peak
        yield found
        found.megabytes = resident_memory("VmHWM") - before


def resident_memory(name):
    """Return megabytes of this process as counted by Linux: VmRSS now, VmHWM at its peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name))


def report(figures, at_most=None, at_least=None, **settings):
    """Return what a benchmark prints: its figures, their goals, and the settings of the measurement."""
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
