"""A check of the installation: packages, device, the models in the cache, and what would be downloaded."""

import json
import platform
import shutil
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from huggingface_hub import CachedRepoInfo, CacheNotFound, constants, scan_cache_dir, try_to_load_from_cache

from m4ser.model.audio_m4ser import soundfile, soxr

PACKAGES = (
    "m4ser",
    "torch",
    "transformers",
    "datasets",
    "accelerate",
    "huggingface_hub",
    "soundfile",
    "soxr",
    "av",
    "gradio",
    "onnxruntime",
)
# The pretrained models of the configs for IEMOCAP and MELD.
PRETRAINED = ("facebook/hubert-base-ls960", "google-bert/bert-base-uncased", "openai/whisper-medium.en")
WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")


def findings(model: str | None = None) -> Iterator[tuple[str, str]]:
    """Yield (subject, finding), a line each.

    Args:
        model: folder or Hub id whose downloads are listed, its ASR model's too; those of the configs by default.
    """
    yield "python", platform.python_version()
    for package in PACKAGES:
        yield package, installed_version(package) or "not installed"
    yield "device", device_name()
    yield "decodes wav, flac, ogg, mp3", "yes" if soundfile and soxr else "no: pip install soundfile soxr"
    yield "decodes the sound of videos", "yes" if installed_version("av") else "no: pip install av"
    yield "ffmpeg", shutil.which("ffmpeg") or "not found; nothing here needs it"
    yield "cache", constants.HF_HUB_CACHE
    for repository in cached_models():
        yield "in the cache", f"{repository.repo_id}, {repository.size_on_disk_str}"
    for name in (model, asr_model_of(model)) if model else PRETRAINED:
        if name is not None and not Path(name).is_dir() and not is_cached(name):
            offline = ", but HF_HUB_OFFLINE forbids it" if constants.HF_HUB_OFFLINE else ""
            yield "would be downloaded", f"{name}{offline}"


def installed_version(package: str) -> str | None:
    """Return a package's version, None where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def device_name() -> str:
    """Return the name of the device that M4SER computes on by default."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    accelerator = torch.accelerator.current_accelerator()
    return f"CPU, {torch.get_num_threads()} threads" if accelerator is None else str(accelerator)


def cached_models() -> list[CachedRepoInfo]:
    """Return the models in the Hugging Face cache, by name."""
    try:
        repositories = scan_cache_dir(constants.HF_HUB_CACHE).repos
    except CacheNotFound:
        return []
    return sorted((one for one in repositories if one.repo_type == "model"), key=lambda one: one.repo_id)


def is_cached(repo_id: str) -> bool:
    """Return whether a model's weights are in the cache."""
    return any(cached_file(repo_id, name) for name in WEIGHTS)


def cached_file(repo_id: str, name: str) -> str | None:
    """Return the path of a model's file in the cache, None where it is not there."""
    found = try_to_load_from_cache(repo_id, name, cache_dir=constants.HF_HUB_CACHE)
    return found if isinstance(found, str) else None


def asr_model_of(model: str) -> str | None:
    """Return the ASR model that a model's processor names, as far as its folder or the cache shows it."""
    name = "processor_config.json"
    file = Path(model, name) if Path(model).is_dir() else cached_file(model, name)
    return json.loads(Path(file).read_text()).get("asr_model_id") if file and Path(file).is_file() else None
