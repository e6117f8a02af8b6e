"""Folders and Hub ids: what is neither is refused at once, and the Hub is asked once."""

import time

import pytest

from m4ser.sources import refuse_missing
from tests.loopback_hub import LoopbackHub, commit_id


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A Hub with a model and a dataset of one name, `org/there`, asked from an empty home."""
    monkeypatch.chdir(tmp_path)
    with LoopbackHub() as server:
        for kind in ("models", "datasets"):
            server.repositories[kind, "org/there"] = [(commit_id({}), {})]
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", server.endpoint)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "datasets")
        yield server


@pytest.mark.parametrize("name", ["/nowhere", "./nowhere", "~/nowhere", "runs/nowhere", "a/b/c"])
def test_missing_folder_is_refused(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    with pytest.raises(ValueError, match=f"There is no model {name}: no such folder"):
        refuse_missing(name, "model")


@pytest.mark.parametrize("name", ["runs/there", "org/name", "bert-base-uncased"])
def test_folders_pass_and_offline_what_may_be_an_id(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "there").mkdir(parents=True)
    refuse_missing(name, "model")


@pytest.mark.parametrize("repo_type", ["model", "dataset"])
def test_hub_is_asked_once(hub, repo_type):
    refuse_missing("org/there", repo_type, repo_type)
    for name in ("org/nowhere", "runs/nope", "not an id"):
        with pytest.raises(ValueError, match=f"There is no {repo_type} {name}: no such folder, and none on the Hub"):
            refuse_missing(name, repo_type, repo_type)


def test_unreachable_hub_is_said_at_once(hub, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    started = time.monotonic()
    with pytest.raises(ValueError, match="There is no model org/there: no such folder, and the Hub cannot be reached"):
        refuse_missing("org/there", "model")
    assert time.monotonic() - started < 5


def test_what_the_cache_holds_needs_no_hub(hub, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    (tmp_path / "cache" / "models--org--there").mkdir(parents=True)
    (tmp_path / "datasets" / "org___there").mkdir(parents=True)
    refuse_missing("org/there", "model")
    refuse_missing("org/there", "dataset", "dataset")
