"""LoRA: what is trained, what is saved, and that a run with it resumes."""

import pytest
import torch
from peft import LoraConfig, inject_adapter_in_model
from safetensors.torch import load_file

from m4ser import M4SERModel
from m4ser.training.adapters import NAME, TARGETS, add_adapters, merge_adapters
from m4ser.training.arguments import parse_arguments
from m4ser.training.loop import train
from tests.tiny import tiny_config
from tests.tiny_corpus import SMALL, write_tiny_corpus


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_tiny_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def source(corpus, tmp_path_factory):
    """A run to start from."""
    folder = tmp_path_factory.mktemp("source") / "run"
    train(parse_arguments([SMALL, "--dataset", str(corpus), "--output_dir", str(folder)]))
    return folder


def arguments(corpus, source, folder, *more):
    given = ["--dataset", corpus, "--init_from", source, "--output_dir", folder, "--lora_rank", 2]
    return parse_arguments([str(word) for word in [*given, "--learning_rate", "0.01", *more]])


def test_adapters_alone_are_trained_in_the_encoders():
    model = M4SERModel(tiny_config())
    add_adapters(model, 2)
    trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
    encoders = {name for name in trained if "_encoder.encoder." in name}
    assert encoders and all(".lora_" in name for name in encoders)
    layers = {name.split(".lora_")[0].rpartition(".")[2] for name in encoders}
    assert layers == {"q_proj", "v_proj", "query", "value"}
    assert any(name.startswith("classifier") for name in trained)


def test_merged_weights_are_peft_s():
    """Independent of our own sum: peft merges the same layers itself."""
    torch.manual_seed(0)
    model = M4SERModel(tiny_config())
    names = set(model.state_dict())
    add_adapters(model, 2)
    for name, weight in model.named_parameters():
        if ".lora_" in name:
            torch.nn.init.normal_(weight)
    ours = merge_adapters(model.state_dict())
    assert set(ours) == names
    for module in model.modules():
        if hasattr(module, "merge"):
            module.merge()
    for name, weight in model.state_dict().items():
        if ".base_layer." in name:
            torch.testing.assert_close(ours[name.replace(".base_layer.", ".")], weight)


def test_saved_model_has_no_adapters_and_changed_attention(corpus, source, tmp_path):
    train(arguments(corpus, source, tmp_path / "tuned"))
    before, after = (load_file(folder / "model.safetensors") for folder in (source, tmp_path / "tuned"))
    assert before.keys() == after.keys()
    changed = {name for name in before if "_encoder.encoder." in name and not torch.equal(before[name], after[name])}
    assert changed and all(
        name.rpartition(".")[0].endswith(("q_proj", "v_proj", "query", "value")) for name in changed
    )
    M4SERModel.from_pretrained(tmp_path / "tuned")


def test_killed_run_ends_as_the_whole_one(corpus, source, tmp_path):
    train(arguments(corpus, source, tmp_path / "whole", "--epochs", 2))
    options = ("--keep_checkpoints", 1)
    train(arguments(corpus, source, tmp_path / "cut", "--epochs", 1, *options))
    train(arguments(corpus, source, tmp_path / "cut", "--epochs", 2, "--resume", "true", *options))
    whole, cut = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "cut"))
    assert all(torch.equal(whole[name], cut[name]) for name in whole)


def test_negative_rank_is_refused(corpus, source, tmp_path):
    with pytest.raises(ValueError, match="--lora_rank is at least 1"):
        arguments(corpus, source, tmp_path, "--lora_rank", -1)


def test_encoder_with_other_names_is_refused():
    with pytest.raises(ValueError, match=r"(?i)target"):
        inject_adapter_in_model(
            LoraConfig(r=2, target_modules=TARGETS), torch.nn.Sequential(torch.nn.Linear(2, 2)), NAME
        )
