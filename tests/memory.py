"""How much memory something takes at most."""

import gc
from pathlib import Path

import pytest


def peak_growth(run):
    """MiB by which the memory of this process grows at most while `run` runs."""
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("needs Linux, which reports the peak of a process's memory")
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak is now what is used now
    before = peak_memory()
    run()
    return (peak_memory() - before) / 1024


def peak_memory():
    """Of this process, in KiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
