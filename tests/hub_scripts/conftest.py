"""A Hub of one's own, and the scripts as a user runs them against it."""

import os
import runpy
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.loopback_hub import LoopbackHub
from tests.warm_python import WarmPython


@pytest.fixture(scope="module")
def hub():
    with LoopbackHub() as server:
        yield server


@pytest.fixture(scope="module")
def typed(hub, tmp_path_factory):
    """typed(*arguments): `python` with these, with that Hub and an empty home."""
    environment = os.environ | hub.environment(tmp_path_factory.mktemp("home"))
    with WarmPython(environment) as started:

        def run(*arguments):
            command = [str(started.folder / "python"), *map(str, arguments)]
            return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, timeout=300)

        yield run


@pytest.fixture(scope="module")
def push(typed):
    """push(script, folder, repo_id): run the script against the Hub."""
    return lambda script, folder, repo_id: typed(f"hub_scripts/{script}.py", folder, "--repo_id", repo_id)


@pytest.fixture
def refusal(hub, monkeypatch):
    """refusal(script, folder, repo_id): what the script, in this process, ends with where it does not push."""

    def run(script, folder, repo_id, endpoint=hub.endpoint, token="hf_wrong"):
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", endpoint)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        monkeypatch.setenv("HF_TOKEN", token)
        monkeypatch.setattr(sys, "argv", [script, str(folder), "--repo_id", repo_id])
        with pytest.raises(SystemExit) as stop:
            runpy.run_path(str(ROOT / "hub_scripts" / f"{script}.py"), run_name="__main__")
        # Python prints a string, and ends with exit code 1.
        assert isinstance(stop.value.code, str) and "\n" not in stop.value.code
        return stop.value.code

    return run
