"""The processes of one command, as `accelerate launch` or `torchrun` starts them: connected, and taken apart."""

from typing import Any

import torch
from accelerate import PartialState


def connect(**options: Any) -> PartialState:
    """Connect the processes of this command; return their state, the same one when called again.

    Args:
        options: of the process group, such as `timeout`.
    """
    # Without an accelerator, several processes find each other only with cpu=True.
    return PartialState(cpu=not torch.accelerator.is_available(), **options)


def disconnect() -> None:
    """Take the processes apart, as the last step of a command that has succeeded.

    A process that ends while gloo's threads still run is aborted now and then, with an exit code that a launcher takes
    for a failure. Not for a command that fails: where another process waits in a collective operation, NCCL may wait
    with it.
    """
    PartialState().destroy_process_group()
