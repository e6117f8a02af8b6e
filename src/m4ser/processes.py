"""The processes of one command, as `accelerate launch` or `torchrun` starts them: connected, and taken apart."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import torch
from accelerate import PartialState

PRINT_LAST = Path(__file__).with_name("print_last.py")
LAUNCHED = ("ACCELERATE_USE_CPU", "TORCHELASTIC_RUN_ID")  # what `accelerate launch` and `torchrun` set


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


def is_lost_connection(error: RuntimeError) -> bool:
    """Tell whether an error of a collective operation says that another process is gone."""
    return isinstance(error, torch.distributed.DistError) or ("gloo" in str(error) and "onnection" in str(error))


def fail_when_terminated(sentence: str) -> None:
    """Have a process of a launcher end with a sentence when that ends it, which it does when another one dies."""
    if _is_launched() and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: fail(sentence))


def _is_launched() -> bool:
    return any(name in os.environ for name in LAUNCHED)


def fail(sentence: str, code: int = 1) -> NoReturn:
    """End a command that has failed with a sentence on stderr and an exit code.

    A launcher prints tracebacks of its own below it. On Linux the sentence is therefore printed once more when the
    launcher has ended: whatever process fails, the last thing on the screen is what to mend.
    """
    if hasattr(os, "pidfd_open") and _is_launched():
        launcher = str(os.getppid())
        marker = Path(tempfile.gettempdir(), f"m4ser-{launcher}")
        with suppress(OSError):  # another process of this launcher has its sentence printed, or there is no room
            marker.touch(exist_ok=False)
            command = [sys.executable, "-IS", str(PRINT_LAST), launcher, str(marker), sentence]
            subprocess.Popen(command, start_new_session=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    if code == 1:
        sys.exit(sentence)
    print(sentence, file=sys.stderr)
    sys.exit(code)
