"""Alg. 1: who learns from what in a step, and whole runs as a user starts, stops and resumes them."""

import copy
import csv
import json
import os
import subprocess
import time
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from transformers import AutoModelForAudioClassification, AutoProcessor

from m4ser.losses import LossInputs, compute_losses, objective_of
from m4ser.training.arguments import (
    Arguments,
    DataArguments,
    ModelArguments,
    ObjectiveArguments,
    TrainingArguments,
    parse_arguments,
)
from m4ser.training.loop import NonFiniteError, forward, train, train_step
from m4ser.training.setup import build_experiment
from m4ser.training.state import TrainingState
from tests.ablations import ABLATIONS, LOSSES, LOSSES_OF_WEIGHT, OTHERS
from tests.tiny import collate, recordings, tiny_model
from tests.tiny_corpus import LABELS, SIZES, SMALL, write_tiny_corpus
from tests.warm_python import warm

ROOT = Path(__file__).parents[2]
WATCHED = LOSSES | {"invariant_probability"}
STEPS = 3  # of an epoch: 11 recordings in batches of 4


@pytest.fixture(scope="module")
def batch():
    return small_batch()


def small_batch(**options):
    return collate(recordings([1500, 800, 500, 400], [4, 9, 2, 5]), **options) | {"ids": ["a", "b", "c", "d"]}


def start(objective=None, training=None, **switches):
    """State, arguments and accelerator of a run. In eval mode, so that two passes give the same."""
    torch.manual_seed(0)
    arguments = Arguments(
        ModelArguments(),
        DataArguments(dataset="unused"),
        ObjectiveArguments(**(objective or {})),
        TrainingArguments(output_dir="unused", learning_rate=1e-3, **(training or {})),
    )
    accelerator = Accelerator(cpu=True)
    state = TrainingState.create(tiny_model(**switches), arguments, total_steps=10, accelerator=accelerator)
    return state, arguments, accelerator


def values(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def same(module, expected):
    return all(torch.equal(value, expected[name]) for name, value in module.state_dict().items())


def has_gradient(module):
    return any(parameter.grad is not None and parameter.grad.any() for parameter in module.parameters())


def one_loss(name, state, batch, arguments, accelerator):
    output = forward(state.model, batch, accelerator)
    inputs = LossInputs(output, batch, arguments.objective, discriminator=state.discriminator.module)
    return objective_of(name).compute(inputs)


def test_discriminator_loss_does_not_reach_the_network(batch):
    state, arguments, accelerator = start()
    accelerator.backward(one_loss("discriminator", state, batch, arguments, accelerator))
    assert all(parameter.grad is None for parameter in state.model.parameters())
    assert has_gradient(state.discriminator.module)


def test_generator_loss_does_not_reach_the_discriminator(batch):
    state, arguments, accelerator = start()
    one_loss("generator", state, batch, arguments, accelerator).backward()
    assert all(parameter.grad is None for parameter in state.discriminator.module.parameters())
    assert all(parameter.requires_grad for parameter in state.discriminator.module.parameters())
    # L_G reaches the generator and, through it, both encoders.
    for module in (state.model.fusion.generator, state.model.speech_encoder, state.model.text_encoder):
        assert has_gradient(module)


def test_step_is_algorithm_1():
    """Against Alg. 1 by hand, on a copy: all losses first, then an update of each side with its own optimizer."""
    batch = small_batch(dtype=torch.float64)
    state, arguments, accelerator = start({"adversarial_weight": 0.5}, {"max_grad_norm": 0.0})
    model, discriminator = copy.deepcopy(state.model.double()), copy.deepcopy(state.discriminator.module.double())
    update_network, update_discriminator = (
        torch.optim.AdamW(part.parameters(), lr=1e-3, weight_decay=0.0).step for part in (model, discriminator)
    )
    output = forward(model, batch, accelerator)

    def log_probabilities(stream):
        probability = torch.sigmoid(discriminator(stream))[output.frame_mask.bool()]
        return probability.log().mean(), (1 - probability).log().mean()

    losses = compute_losses(LossInputs(output, batch | {"all_labels": batch["labels"]}, arguments.objective))
    total = (
        losses["emotion"]
        + 0.1 * (3 * losses["error_detection"] + losses["error_correction"])
        + 0.5 * -sum(log_probabilities(output.invariant))
        + 0.1 * losses["contrastive"]
    )
    total.backward()
    discriminator.zero_grad()
    is_speech, _ = log_probabilities(output.speech_specific.detach())
    _, is_text = log_probabilities(output.text_specific.detach())
    l_gan = is_speech + is_text - sum(log_probabilities(output.invariant.detach()))
    (-l_gan).backward()  # line 23 maximizes it
    update_discriminator()
    update_network()

    named = train_step(state, [batch], arguments, accelerator)
    assert set(named) == WATCHED
    assert named["total"] == pytest.approx(total.item(), abs=1e-6)
    assert named["discriminator"] == pytest.approx(-l_gan.item(), abs=1e-6)
    assert 0 < named["invariant_probability"] < 1
    for expected, trained in ((model, state.model), (discriminator, state.discriminator.module)):
        for (name, value), other in zip(expected.named_parameters(), trained.parameters(), strict=True):
            torch.testing.assert_close(other, value, rtol=0, atol=1e-6, msg=name)
    assert not has_gradient(state.model)
    assert not has_gradient(state.discriminator.module)


def test_one_forward_of_the_network_per_step(batch):
    state, arguments, accelerator = start()
    calls = []
    state.model.register_forward_hook(lambda *_: calls.append("network"))
    state.model.speech_encoder.register_forward_hook(lambda *_: calls.append("speech"))
    state.discriminator.module.register_forward_hook(lambda *_: calls.append("D"))
    train_step(state, [batch], arguments, accelerator)
    assert calls == ["speech", "network", "D", "D"]


@pytest.mark.parametrize("side", ["network", "discriminator"])
def test_nonfinite_loss_changes_nothing(side, batch):
    state, arguments, accelerator = start()
    with torch.no_grad():
        next(state.trainable[side].module.parameters()).view(-1)[0] = float("nan")
    before = {name: values(part.module) for name, part in state.trainable.items()}
    with pytest.raises(NonFiniteError, match=r"step 1, on the recordings a, b, c, d; the state before it is saved"):
        train_step(state, [batch], arguments, accelerator)
    for name, part in state.trainable.items():
        assert not has_gradient(part.module)
        for key, value in part.module.state_dict().items():
            assert torch.equal(value, before[name][key]) or value.isnan().any()


def test_learning_rates_by_module(batch):
    rates = {"speech_encoder": 0, "text_encoder": 1e-4, "text_encoder.encoder.embeddings": 0}
    state, arguments, accelerator = start(training={"learning_rates": rates})
    assert [group["lr"] for group in state.network.optimizer.param_groups] == [1e-4, 1e-3]
    before = values(state.model)
    train_step(state, [batch], arguments, accelerator)
    changed = {name for name, value in state.model.state_dict().items() if not torch.equal(value, before[name])}
    assert not any(name.startswith(("speech_encoder.", "text_encoder.encoder.embeddings.")) for name in changed)
    assert {"text_encoder.encoder.encoder.layer.0.output.dense.weight", "classifier.weight"} < changed


# Each config with the weights as they are by default, and each weight at 0 with the whole network.
SWITCHES = {name: (row.config, {}, row.losses) for name, row in (ABLATIONS | OTHERS).items() if row.config}
SWITCHES |= {name: ({}, {name: 0.0}, losses) for name, losses in LOSSES_OF_WEIGHT.items()}


@pytest.mark.parametrize(("switches", "objective", "left_out"), SWITCHES.values(), ids=SWITCHES)
def test_ablations_train_on_their_losses(switches, objective, left_out, batch):
    state, arguments, accelerator = start(objective, **switches)
    before = values(state.model)
    adversarial = {"invariant_probability"} if state.discriminator else set()
    assert set(train_step(state, [batch], arguments, accelerator)) == LOSSES - left_out | adversarial
    assert (state.discriminator is None) == ("discriminator" in left_out)
    assert not same(state.model, before)


# Whole runs.

CONFIG = """
batch_size: 4
learning_rate: 1e-3
augment_speed: 0.1
augment_mask: 0.2
seed: 1  # with which the second epoch's order is another than the first's
"""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_tiny_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp("config") / "tiny.yaml"
    path.write_text(CONFIG)
    return path


@pytest.fixture(scope="module")
def train_here(corpus, config):
    def run(output_dir, *argv):
        files = [SMALL, str(config)]
        return train(parse_arguments([*files, "--dataset", str(corpus), "--output_dir", str(output_dir), *argv]))

    return run


@pytest.fixture(scope="module")
def run(corpus, config, tmp_path_factory):
    """A run of two epochs, as a user starts it."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    command = [warm("python"), "train.py", SMALL, config, "--dataset", corpus, "--output_dir", folder, "--epochs", "2"]
    on_cpu = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=on_cpu)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1].startswith("test WA ")
    return folder


def read_csv(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_named_loss_is_logged_each_step(run):
    rows = read_csv(run / "metrics.csv")
    assert [(int(row["step"]), int(row["epoch"])) for row in rows] == [(s + 1, s // STEPS + 1) for s in range(6)]
    assert set(rows[0]) > LOSSES
    assert all(torch.tensor(float(row[name])).isfinite() for row in rows for name in LOSSES)
    assert {float(row["learning_rate"]) for row in rows} == {1e-3}


def test_validation_once_an_epoch(run):
    rows = read_csv(run / "validation.csv")
    assert [(row["step"], row["epoch"]) for row in rows] == [("3", "1"), ("6", "2")]
    assert all(0 <= float(row["unweighted_accuracy"]) <= 1 for row in rows)


def test_results_hold_the_best_epoch_and_the_test_split(run):
    results = json.loads((run / "results.json").read_text())
    scores = [float(row["unweighted_accuracy"]) for row in read_csv(run / "validation.csv")]
    assert results["best_epoch"] == scores.index(max(scores)) + 1
    assert results["splits"]["validation"]["unweighted_accuracy"] == pytest.approx(max(scores))
    assert [results["splits"][split]["n"] for split in ("validation", "test")] == [SIZES["validation"], SIZES["test"]]
    assert results["labels"] == list(LABELS)
    assert results["epochs"] == 2
    assert results["config"]["training"]["learning_rate"] == 1e-3


def test_seconds_are_wall_time_over_resumes(train_here, tmp_path):
    keep = ["--keep_checkpoints", "1"]
    began = time.monotonic()
    first = train_here(tmp_path, "--epochs", "1", *keep)
    assert first["seconds"] == pytest.approx(time.monotonic() - began, abs=0.3)
    (checkpoint,) = (tmp_path / "checkpoints").glob("*/state.json")
    progress = json.loads(checkpoint.read_text())["values"]["progress"]
    assert progress["training_seconds"] < progress["seconds"] < first["seconds"]
    time.sleep(1)  # no run, no time
    began = time.monotonic()
    second = train_here(tmp_path, "--epochs", "2", "--resume", "true", *keep)
    assert second["seconds"] == pytest.approx(progress["seconds"] + time.monotonic() - began, abs=0.3)
    for results, steps in ((first, STEPS), (second, 2 * STEPS)):
        logged = [float(row["seconds"]) for row in read_csv(tmp_path / "metrics.csv")][:steps]
        assert results["training_seconds"] == pytest.approx(sum(logged), abs=0.1)


def test_text_model_decodes_no_audio(train_here, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a recording is decoded")

    monkeypatch.setattr("m4ser.data.collator.load_audio", refuse)
    text_only = ("--config", '{"modalities": ["text"]}', "--augment_speed", "0")
    results = train_here(tmp_path / "text", "--epochs", "1", *text_only)
    assert results["splits"]["test"]["n"] == SIZES["test"]
    with pytest.raises(AssertionError, match="a recording is decoded"):
        train_here(tmp_path / "both", "--epochs", "1")


def test_the_folder_loads_as_it_is(run):
    model = AutoModelForAudioClassification.from_pretrained(run)
    processor = AutoProcessor.from_pretrained(run)
    assert list(model.config.label2id) == list(LABELS)
    assert model.config.correction_bos_token_id == processor.tokenizer.cls_token_id
    assert model.config.correction_eos_token_id == processor.tokenizer.sep_token_id
    inputs = processor([[0.1, -0.1] * 1000], ["the knight was great"], sampling_rate=16_000)
    assert model(**inputs).logits.shape == (1, 4)
    assert not list(run.glob("*discriminator*"))  # it never ships


def test_predictions_are_those_of_the_best_epoch(run):
    rows = read_csv(run / "predictions.csv")
    assert [row["split"] for row in rows] == ["validation"] * SIZES["validation"] + ["test"] * SIZES["test"]
    tested = [row for row in rows if row["split"] == "test"]
    accuracy = sum(row["label"] == row["prediction"] for row in tested) / len(tested)
    results = json.loads((run / "results.json").read_text())
    assert accuracy == pytest.approx(results["splits"]["test"]["weighted_accuracy"])
    for row in rows:
        probabilities = [float(row[label]) for label in LABELS]
        assert sum(probabilities) == pytest.approx(1, abs=1e-5)
        assert LABELS[probabilities.index(max(probabilities))] == row["prediction"]


def test_loss_curves_are_drawn_at_the_end(run):
    assert (run / "losses.png").read_bytes().startswith(b"\x89PNG")


def test_logs_start_anew_unless_resumed(train_here, tmp_path):
    (tmp_path / "metrics.csv").write_text("step,epoch,generator\n1,1,0.5\n")
    train_here(tmp_path, "--epochs", "1", "--adversarial_weight", "0", "--overwrite", "true")
    rows = read_csv(tmp_path / "metrics.csv")
    assert [row["step"] for row in rows] == ["1", "2", "3"]
    assert not {"generator", "discriminator"} & set(rows[0])


def test_transcripts_as_text_have_no_errors(corpus, config):
    """Table VI: the text is the transcript, so all of its tokens are to be kept."""
    argv = [SMALL, str(config), "--dataset", str(corpus), "--output_dir", "unused", "--text_column", "transcript"]
    experiment = build_experiment(parse_arguments(argv))
    for rows in experiment.corpus.values():
        assert rows["hypothesis"] == rows["transcript"]
        assert not any(rows["correction_ids"])
        assert {tag for tags in rows["aed_labels"] for tag in tags} == {0, -100}
