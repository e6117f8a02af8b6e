"""Options that make a step cheaper change what it costs, not what it learns."""

import csv
import json

import pytest
import torch
import yaml
from accelerate.state import AcceleratorState

from m4ser.training.arguments import parse_arguments
from m4ser.training.loop import train
from tests.tiny_corpus import write_tiny_corpus

FROZEN = ["--learning_rates", '{"speech_encoder.encoder": 0}']
CONFIG = """
preset: tiny
config:
  speech_config: {conv_dim: [16, 16, 16], hidden_size: 24, num_hidden_layers: 1, num_attention_heads: 4,
                  intermediate_size: 16}
  text_config: {hidden_size: 16, num_hidden_layers: 1, intermediate_size: 16}
  hidden_size: 16
  intermediate_size: 16
vocabulary_size: 60
batch_size: 4
epochs: 2
learning_rate: 1e-3
"""


@pytest.fixture(scope="module")
def argv(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cheap")
    (folder / "tiny.yaml").write_text(CONFIG)
    return [str(folder / "tiny.yaml"), "--dataset", str(write_tiny_corpus(folder / "corpus"))]


def losses(argv, folder, *options):
    """The named losses of all steps, and the run's results."""
    results = train(parse_arguments([*argv, "--output_dir", str(folder), *options]))
    with (folder / "metrics.csv").open(newline="") as file:
        rows = [
            {name: float(value) for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)
        ]
    return torch.tensor([list(row.values()) for row in rows]), results


def test_cached_frames_equal_the_frozen_encoder(argv, tmp_path):
    """Without dropout: older transformers draw random numbers in an encoder that does not learn, too."""
    config = yaml.safe_load(CONFIG)
    config["config"] |= {"hidden_dropout": 0, "classifier_dropout": 0}
    config["config"]["text_config"] |= {"hidden_dropout_prob": 0, "attention_probs_dropout_prob": 0}
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(config))
    argv = [str(tmp_path / "tiny.yaml"), *argv[1:], *FROZEN]
    computed, results = losses(argv, tmp_path / "computed")
    kept, others = losses(argv, tmp_path / "kept", "--cache_features", "true")
    torch.testing.assert_close(kept, computed, rtol=1e-4, atol=1e-5)
    test, other = results["splits"]["test"], others["splits"]["test"]
    assert test["confusion_matrix"] == other["confusion_matrix"]
    # The saved model encodes speech by itself.
    assert json.loads((tmp_path / "kept" / "config.json").read_text())["speech_config"]["hidden_size"] == 24


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ([], "cache_features keeps the frames of a frozen speech encoder: freeze it with --learning_rates"),
        ([*FROZEN, "--augment_speed", "0.1"], "cache_features encodes each recording once: leave augment_speed out"),
        ([*FROZEN, "--system", "maf_dct"], "MAF-DCT needs the waveforms in every epoch: leave cache_features out"),
    ],
)
def test_caching_changing_frames_is_refused(argv, tmp_path, options, complaint):
    with pytest.raises(ValueError, match=complaint):
        losses(argv, tmp_path, "--cache_features", "true", *options)


def test_gradient_checkpointing_changes_nothing(argv, tmp_path):
    plain, _ = losses(argv, tmp_path / "plain")
    again, _ = losses(argv, tmp_path / "again", "--gradient_checkpointing", "true")
    torch.testing.assert_close(again, plain, rtol=1e-4, atol=1e-5)


def test_half_precision_trains(argv, tmp_path):
    full, _ = losses(argv, tmp_path / "full", "--epochs", "1")
    AcceleratorState._reset_state()  # one process has one precision
    half, results = losses(argv, tmp_path / "half", "--epochs", "1", "--mixed_precision", "bf16")
    torch.testing.assert_close(half, full, rtol=0.1, atol=0.1)
    assert not torch.equal(half, full)
    assert results["skipped_steps"] == 0
    AcceleratorState._reset_state()


def test_workers_change_nothing(argv, tmp_path):
    alone, _ = losses(argv, tmp_path / "alone", "--epochs", "1")
    ahead, _ = losses(argv, tmp_path / "ahead", "--epochs", "1", "--num_workers", "2")
    torch.testing.assert_close(ahead, alone, rtol=0, atol=0)


def test_max_batch_seconds(argv, tmp_path):
    capped, _ = losses(argv, tmp_path, "--epochs", "1", "--max_batch_seconds", "0.6")
    assert len(capped) > 3  # 11 recordings of .1 to .4 s, which four a batch would make three steps


def test_learning_rate_of_an_unknown_module_is_refused(argv, tmp_path):
    with pytest.raises(ValueError, match="the model has no part voice; it has speech_encoder, text_encoder, fusion"):
        losses(argv, tmp_path, "--learning_rates", '{"voice": 0}')


def test_tensorboard_equals_csv(argv, tmp_path):
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    losses(argv, tmp_path, "--epochs", "1", "--log_with", "tensorboard")
    (events,) = {path.parent for path in tmp_path.rglob("events.out.tfevents*")} or {None}
    accumulator = reader.EventAccumulator(str(events))
    accumulator.Reload()
    assert [event.step for event in accumulator.Scalars("total")] == [1, 2, 3]


def test_missing_tracker_is_named(argv, tmp_path):
    with pytest.raises(ValueError, match="log_with is one of tensorboard, trackio, not wandb"):
        losses(argv, tmp_path, "--log_with", "wandb")
