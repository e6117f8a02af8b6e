"""The scaler of fp16's gradients on a CPU, where Accelerate makes none."""

import torch
from accelerate import Accelerator
from accelerate.utils import AutocastKwargs


def scaled_accelerator(scale: float, autocast: bool = True) -> Accelerator:
    """Return what Accelerate makes of fp16 on a GPU; the process must not have had another precision before."""
    handlers = [AutocastKwargs(enabled=autocast)]
    accelerator = Accelerator(cpu=True, mixed_precision="fp16", kwargs_handlers=handlers)
    accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=scale)
    accelerator.native_amp = True
    return accelerator
