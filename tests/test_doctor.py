"""The doctor's findings: what is in a cache, and what would be downloaded."""

import json

import pytest
from huggingface_hub import constants

from m4ser.doctor import PACKAGES, PRETRAINED, findings

SHA = "0123456789abcdef" * 2 + "01234567"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """cache(repo_id, **files): a repository as huggingface_hub keeps it."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)

    def keep(repo_id, **files):
        folder = tmp_path / "hub" / f"models--{repo_id.replace('/', '--')}"
        snapshot = folder / "snapshots" / SHA
        snapshot.mkdir(parents=True)
        (folder / "refs").mkdir()
        (folder / "refs" / "main").write_text(SHA)
        for name, content in files.items():
            (snapshot / name.replace("_json", ".json").replace("_safetensors", ".safetensors")).write_text(content)

    return keep


def of(name, model=None):
    return [finding for found, finding in findings(model) if found == name]


def test_without_cache_all_would_be_downloaded(cache):
    assert of("in the cache") == []
    assert of("would be downloaded") == list(PRETRAINED)
    assert {name for name, _ in findings()} >= set(PACKAGES)


def test_cached_weights_are_not_downloaded(cache, monkeypatch):
    cache(PRETRAINED[0], config_json="{}", model_safetensors="0" * 3000)
    cache(PRETRAINED[1], config_json="{}")
    assert of("in the cache") == [f"{PRETRAINED[0]}, 3.0K", f"{PRETRAINED[1]}, 2.0"]
    assert of("would be downloaded") == list(PRETRAINED[1:])
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert of("would be downloaded")[0] == f"{PRETRAINED[1]}, but HF_HUB_OFFLINE forbids it"


def test_asr_model_of_model_is_downloaded_too(cache, tmp_path):
    settings = json.dumps({"asr_model_id": "org/whisper"})
    assert of("would be downloaded", "org/m4ser") == ["org/m4ser"]
    cache("org/m4ser", model_safetensors="0", processor_config_json=settings)
    assert of("would be downloaded", "org/m4ser") == ["org/whisper"]
    (tmp_path / "run").mkdir()
    assert of("would be downloaded", str(tmp_path / "run")) == []
    (tmp_path / "run" / "processor_config.json").write_text(settings)
    assert of("would be downloaded", str(tmp_path / "run")) == ["org/whisper"]
