"""Ctrl-C in a training: it ends after a step, whose state is saved."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from accelerate import Accelerator


@contextmanager
def postponed_interrupt(accelerator: Accelerator) -> Iterator[threading.Event]:
    """Give an event that the first SIGINT in this context sets, which does no more; the second interrupts at once.

    Of several processes, which would stop after different steps, the first interrupts; so it does where this is not
    the main thread, which alone may handle signals. Where SIGINT is ignored, it stays so.
    """
    interrupted = threading.Event()

    def postpone(number: int, frame: FrameType | None) -> None:
        if interrupted.is_set():
            signal.default_int_handler(number, frame)
        interrupted.set()
        print("Interrupted: what is done will be saved; Ctrl-C again ends at once.", file=sys.stderr)

    is_main = threading.current_thread() is threading.main_thread()
    if accelerator.num_processes > 1 or not is_main or signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        yield interrupted
        return
    former = signal.signal(signal.SIGINT, postpone)
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, former)
