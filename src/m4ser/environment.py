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


def compute_device() -> torch.device:
    """Return the accelerator, where there is one, or the CPU."""
    return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")


def multiplies_bfloat16() -> bool:
    """Tell whether the CPU multiplies bfloat16; where it does not, PyTorch's products in it are 70 times as slow."""
    return torch.ops.mkldnn._is_mkldnn_bf16_supported()


def versions(libraries: Iterable[str]) -> dict[str, str]:
    """Return the installed version of each library by its name."""
    return {name: version(name) for name in libraries}
