"""Builders are run by their command line, as a user runs them."""

import os
import runpy
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from tests.warm_python import warm

ROOT = Path(__file__).parents[2]
Finished = namedtuple("Finished", ["returncode", "stdout", "stderr"])


@pytest.fixture(scope="session")
def build():
    """build(name, *arguments): run a builder in a process of its own."""

    def run(name, *arguments):
        return subprocess.run(
            [warm("python"), ROOT / "datasets_builders" / f"{name}.py", *map(str, arguments)],
            capture_output=True,
            text=True,
            env=os.environ | {"HF_HUB_OFFLINE": "1"},
            timeout=600,
        )

    return run


@pytest.fixture
def build_here(monkeypatch, capsys):
    """The same in this process, which saves the seconds that the imports take."""

    def run(name, *arguments):
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        code = None
        try:
            runpy.run_path(str(ROOT / "datasets_builders" / f"{name}.py"), run_name="__main__")
        except SystemExit as stop:
            code = stop.code
        printed, complained = capsys.readouterr()
        if isinstance(code, str):  # sys.exit("message") prints it and exits with 1
            return Finished(1, printed, f"{complained}{code}\n")
        return Finished(code or 0, printed, complained)

    return run
