"""Run what is typed, and note what it took, wrote and said."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

# How the commands say what is wrong.
SENTENCE = re.compile(r"^(?:train\.py|m4ser(?: train)?|error): .+$", re.MULTILINE)
TRACEBACK = "Traceback (most recent call last)"
LIMIT_SECONDS = 1800
POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Step:
    """A command, and what is expected of it.

    Args:
        command: as it is typed. copies: so many are started at once. killed_at: the first copy is killed, and started
            again, as soon as so many results.json are below the folder `output`. refused: it is to end with an error.
    """

    command: str
    copies: int = 1
    killed_at: int | None = None
    output: str = ""
    refused: bool = False

    def __post_init__(self) -> None:
        if self.killed_at is not None and (self.copies < 2 or not self.output):
            raise ValueError("One of several copies is killed, by what lies below `output`.")


@dataclass(frozen=True)
class Outcome:
    """What became of a step: seconds, {first two parts of a path: bytes written below it}, last line or refusal."""

    step: Step
    seconds: float
    written: Mapping[str, int]
    said: str
    problem: str = ""  # why it is not as expected


def run(step: Step, stage: Path, environment: Mapping[str, str], log: Path) -> Outcome:
    """Run a step in the folder `stage`; what it prints goes to `log`."""
    before, started = files_of(stage), time.monotonic()
    with log.open("w", encoding="utf-8") as output:
        copies = [_start(step, stage, environment, output) for _ in range(step.copies)]
        if step.killed_at is not None:
            folder, wanted = stage / step.output, step.killed_at
            _wait(copies[0], lambda: len(list(folder.rglob("results.json"))) >= wanted)
            _kill(copies.pop(0))
            copies.append(_start(step, stage, environment, output))  # typed again, as its user would
        codes = [_wait(copy) for copy in copies]
    text = log.read_text(encoding="utf-8", errors="replace")
    written = sizes_written(before, files_of(stage))
    problem = problem_of(step, codes, text)
    said = SENTENCE.search(text) if step.refused and not problem else None
    return Outcome(step, time.monotonic() - started, written, said[0] if said else last_line(text), problem)


def problem_of(step: Step, codes: list[int | None], text: str) -> str:
    """Say what is not as expected; an error that is expected has to be one sentence."""
    if None in codes:
        return f"not finished after {LIMIT_SECONDS} s"
    if step.refused:
        if not all(codes):
            return "was not refused"
        sentence = SENTENCE.search(text)  # a launcher's own traceback may follow it
        return "" if sentence and TRACEBACK not in text[: sentence.start()] else "no sentence says why"
    return f"exit code {max(codes, key=abs)}" if any(codes) else ""


def files_of(folder: Path) -> dict[Path, tuple[int, int]]:
    """Return the size and time of every file below a folder, by its path from there."""
    found = {}
    for parent, _, names in os.walk(folder):
        for name in names:
            status = os.stat(os.path.join(parent, name))
            found[Path(parent, name).relative_to(folder)] = (status.st_size, status.st_mtime_ns)
    return found


def sizes_written(before: Mapping[Path, tuple[int, int]], after: Mapping[Path, tuple[int, int]]) -> dict[str, int]:
    """Sum the bytes of new and changed files by the first two parts of their paths."""
    sums: dict[str, int] = {}
    for path, (size, changed) in after.items():
        if before.get(path) != (size, changed):
            key = "/".join(path.parts[:2])
            sums[key] = sums.get(key, 0) + size
    return sums


def last_line(text: str) -> str:
    """Return the last line that holds something, of a progress bar its last state."""
    lines = [line.split("\r")[-1].strip() for line in text.splitlines()]
    return next((line for line in reversed(lines) if line), "")


def _start(step: Step, stage: Path, environment: Mapping[str, str], output: TextIO) -> subprocess.Popen:
    return subprocess.Popen(
        step.command,
        shell=True,
        executable="/bin/bash",
        cwd=stage,
        env=dict(environment),
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def _wait(process: subprocess.Popen, condition: Callable[[], bool] = lambda: False) -> int | None:
    """Wait for a condition or the end of a process; return its exit code, None where it is killed at the limit."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while process.poll() is None and not condition():
        if time.monotonic() > deadline:
            _kill(process)
            return None
        time.sleep(POLL_SECONDS)
    return process.returncode


def _kill(process: subprocess.Popen) -> None:
    """Kill a process and all that it has started."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
