"""Training with Whisper's encoder: frozen unless it has a learning rate, on recordings of its window."""

import csv
import json

import pytest
import torch
from safetensors.torch import load_file
from transformers import BertConfig, BertModel

from m4ser import M4SERPipeline
from m4ser.data.tokenizer import train_tokenizer
from m4ser.model.asr_m4ser import SharedEncoderTranscriber
from m4ser.training.arguments import parse_arguments
from m4ser.training.loop import train
from tests.tiny_corpus import TEXTS, write_tiny_corpus
from tests.tiny_whisper import save_tiny_whisper

CONFIG = """
config: {hidden_size: 16, num_attention_heads: 2, auxiliary_tasks: [detection, correction, recognition]}
max_seconds: 2
batch_size: 4
epochs: 1
learning_rate: 1e-3
"""
TRAINED = ["--learning_rates", '{"speech_encoder": 1e-3}']
FROZEN = ["--learning_rates", '{"speech_encoder.encoder": 0}']


@pytest.fixture(scope="module")
def encoders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoders")
    save_tiny_whisper(folder / "whisper")
    config = folder / "whisper" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"dropout": 0.5}))
    tokenizer = train_tokenizer([text for pair in TEXTS for text in pair], vocab_size=60, max_length=64)
    tokenizer.save_pretrained(folder / "bert")
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    BertModel(BertConfig(vocab_size=len(tokenizer), **sizes)).save_pretrained(folder / "bert")
    return folder


@pytest.fixture(scope="module")
def argv(encoders):
    (encoders / "tiny.yaml").write_text(CONFIG)
    named = ["--speech_encoder", str(encoders / "whisper"), "--text_encoder", str(encoders / "bert")]
    return [str(encoders / "tiny.yaml"), "--dataset", str(write_tiny_corpus(encoders / "corpus")), *named]


def run(argv, folder, *options):
    """The named losses of all steps, and the encoder's weights after them."""
    train(parse_arguments([*argv, "--output_dir", str(folder), *options]))
    with (folder / "metrics.csv").open(newline="") as file:
        rows = [
            {name: float(value) for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)
        ]
    prefix = "speech_encoder.encoder."
    weights = load_file(folder / "model.safetensors")
    encoder = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
    return torch.tensor([list(row.values()) for row in rows]), encoder


def test_encoder_is_frozen_unless_it_has_a_learning_rate(argv, encoders, tmp_path, capsys):
    saved = load_file(encoders / "whisper" / "model.safetensors")

    def changed(encoder):
        return {name for name, value in encoder.items() if not torch.equal(value, saved[f"model.encoder.{name}"])}

    computed, encoder = run(argv, tmp_path / "frozen", "--asr_model_id", str(encoders / "whisper"))
    assert not changed(encoder) and computed.isfinite().all()
    assert "Whisper's encoder is frozen: --learning_rates" in capsys.readouterr().out
    classify = M4SERPipeline.from_pretrained(tmp_path / "frozen", asr=str(encoders / "whisper"))
    assert type(classify._transcriber) is SharedEncoderTranscriber and classify._transcriber._shares_encoder

    kept, encoder = run(argv, tmp_path / "kept", *FROZEN, "--cache_features", "true")
    assert not changed(encoder)
    torch.testing.assert_close(kept, computed, rtol=1e-4, atol=1e-5)

    _, encoder = run(argv, tmp_path / "trained", *TRAINED)
    assert changed(encoder) >= {"conv1.weight", "layers.0.self_attn.q_proj.weight"}
    assert "embed_positions.weight" not in changed(encoder)


def test_adapters_are_trained(argv, encoders, tmp_path):
    pytest.importorskip("peft")
    saved = load_file(encoders / "whisper" / "model.safetensors")
    _, encoder = run(argv, tmp_path, "--lora_rank", "2")
    changed = {name for name, value in encoder.items() if not torch.equal(value, saved[f"model.encoder.{name}"])}
    assert changed == {"layers.0.self_attn.q_proj.weight", "layers.0.self_attn.v_proj.weight"}


@pytest.mark.parametrize(
    ("options", "longest"), [(["--max_seconds", "30"], "2 or less, not 30"), (["--augment_speed", "0.1"], r"1\.8 or")]
)
def test_longer_recordings_are_refused(argv, tmp_path, options, longest):
    with pytest.raises(ValueError, match=f"Whisper encodes 2 s: set --max_seconds to {longest}"):
        run(argv, tmp_path, *options)
