"""The hardware, the versions of the libraries and the command that a measurement was made with."""

import platform
import sys
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


def command() -> str:
    """Return what was typed after `python`: of `python -m`, the module's name, where sys.argv has a path."""
    module = getattr(sys.modules["__main__"], "__spec__", None)
    program = sys.argv[0] if module is None else f"-m {module.name.removesuffix('.__main__')}"
    return " ".join([program, *sys.argv[1:]])
