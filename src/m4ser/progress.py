"""Progress on stderr: bars on a terminal; elsewhere, as in the log of a batch job, whole lines now and then."""

import sys
import time
from typing import Any, TextIO

import datasets
from huggingface_hub.utils import disable_progress_bars
from tqdm import tqdm
from transformers.utils import logging

SECONDS_PER_LINE = 30.0


def on_terminal() -> bool:
    """Tell whether somebody may be watching."""
    return sys.stderr.isatty()


def hide_bars_of_libraries() -> None:
    """Keep the bars of datasets, huggingface_hub and transformers out of a log."""
    if not on_terminal():
        datasets.disable_progress_bars()
        disable_progress_bars()
        logging.disable_progress_bar()


def track(total: int | None, unit: str, description: str, disable: bool = False) -> Any:
    """Return a tqdm bar on a terminal, [`LogLines`] elsewhere.

    Args:
        total: how many there are of `unit` (singular), where that is known. disable: show nothing.
    """
    if on_terminal() or disable:
        return tqdm(total=total, unit=unit, desc=description, disable=disable, leave=False)
    return LogLines(total, unit, description)


class LogLines:
    """As much of tqdm's interface as is used here: a line every half minute, so none of what ends before."""

    def __init__(self, total: int | None, unit: str, description: str):
        self.n = 0.0
        self._total, self._unit, self._description = total, unit, description
        self._started = self._printed = time.monotonic()

    def update(self, count: float = 1) -> None:
        self.n += count
        now = time.monotonic()
        if now - self._printed >= SECONDS_PER_LINE:
            self._printed = now
            print(self._line(now - self._started), file=sys.stderr, flush=True)

    def write(self, text: str, file: TextIO | None = None) -> None:
        print(text, file=file, flush=True)

    def __enter__(self) -> "LogLines":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def _line(self, seconds: float) -> str:
        rate = self.n / seconds
        if self._total is None:
            return f"{self._description}: {self.n:g} {self._unit}s, {rate:.2f} a second"
        left = tqdm.format_interval((self._total - self.n) / rate) if rate else "unknown time"
        return f"{self._description}: {self.n:g} of {self._total} {self._unit}s, {rate:.2f} a second, {left} left"
