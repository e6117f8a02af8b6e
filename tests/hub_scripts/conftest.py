"""A Hub of one's own, and the scripts as a user runs them against it."""

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.loopback_hub import LoopbackHub


@pytest.fixture(scope="module")
def hub():
    with LoopbackHub() as server:
        yield server


@pytest.fixture(scope="module")
def push(hub, tmp_path_factory):
    """push(script, folder, repo_id): run the script against the Hub."""

    def run(script, folder, repo_id, **environment):
        return subprocess.run(
            [sys.executable, f"hub_scripts/{script}.py", str(folder), "--repo_id", repo_id],
            capture_output=True,
            text=True,
            cwd=ROOT,
            env=os.environ | hub.environment(tmp_path_factory.mktemp("home")) | environment,
            timeout=120,
        )

    return run


def sentence(result):
    """The last line of what a script that failed has to say, when it said it without a traceback."""
    assert result.returncode == 1 and "Traceback" not in result.stderr, result.stderr
    return result.stderr.strip().splitlines()[-1]
