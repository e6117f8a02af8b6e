"""The start-up benchmark: its lines run in a new process, and its figures follow from the seconds."""

import json
import subprocess
import sys

import pytest

from benchmarks import startup
from benchmarks.startup import IMPORTS, runner

# Two rounds, the second on a machine that is ten times slower.
SECONDS = {
    "import m4ser": [3.0, 40.0, 5.0],
    "transformers' pipeline": [2.0, 20.0, 2.0],
    "import torch, transformers": [1.0, 10.0, 1.0],
    "m4ser --help": [0.25, 1.5, 0.5],
}


def test_figures_by_hand(monkeypatch, capsys):
    calls = []
    monkeypatch.setattr(startup, "in_turn", lambda actions, rounds: calls.append((set(actions), rounds)) or SECONDS)
    startup.main(["--rounds", "3"])
    report = json.loads(capsys.readouterr().out)
    assert calls == [(set(SECONDS), 3)]
    assert report["figures"] == {
        "seconds, import m4ser": 5.0,
        "seconds, transformers' pipeline": 2.0,
        "seconds, import torch, transformers": 1.0,
        "seconds, m4ser --help": 0.5,
        "import m4ser / transformers' pipeline": 2.0,
        "import m4ser / import torch, transformers": 4.0,
    }
    assert report["met"] == {"import m4ser / import torch, transformers": False, "seconds, m4ser --help": True}


@pytest.mark.parametrize("line", IMPORTS.values(), ids=IMPORTS)
def test_lines_run(line):
    runner([sys.executable, "-c", line])()


def test_failing_line_is_not_timed():
    with pytest.raises(subprocess.CalledProcessError):
        runner([sys.executable, "-c", "import there_is_no_such_module"])()
