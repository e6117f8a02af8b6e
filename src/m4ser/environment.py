"""The hardware and the versions of the libraries that a measurement was made with."""

import platform
from collections.abc import Iterable
from importlib.metadata import version

import torch


def hardware() -> str:
    """Describe what PyTorch computes on here: the GPUs, or the threads of the CPU."""
    if torch.cuda.is_available():
        return f"{torch.cuda.device_count()} x {torch.cuda.get_device_name()}"
    return f"{torch.get_num_threads()} threads, {platform.machine()}"


def versions(libraries: Iterable[str]) -> dict[str, str]:
    """Return the installed version of each library by its name."""
    return {name: version(name) for name in libraries}
