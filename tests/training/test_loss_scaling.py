"""More processes and accumulated batches give the gradients and the weights of the larger batch."""

import os
import subprocess
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file

from m4ser.losses import OBJECTIVES
from m4ser.training.loss_scaling import LossScales
from tests.warm_python import warm

ROOT = Path(__file__).parents[2]
TOLERANCE = 1e-5


def learn(output, processes, *options):
    """Return the tensors that `processes.py` writes."""
    module = ["-m", "tests.training.processes", str(output), *map(str, options)]
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    command = [warm("python"), *(launcher if processes > 1 else []), *module]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stderr[-2000:]
    return load_file(output)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return learn(tmp_path_factory.mktemp("alone") / "one.safetensors", 1)


def assert_same(one, other):
    assert one.keys() == other.keys()
    assert any(name.startswith("gradient/discriminator") for name in one)
    assert one["gradient/network/recognition_head.lm_head.weight"].any()
    for name in one:
        torch.testing.assert_close(other[name], one[name], rtol=0, atol=TOLERANCE, msg=name)


def test_two_processes_equal_the_larger_batch(alone, tmp_path):
    """Every loss, the contrastive one included, with shares of different sizes; gradients, losses, weights."""
    assert_same(alone, learn(tmp_path / "two.safetensors", 2))


def test_scaled_gradients_on_two_processes(alone, tmp_path):
    """The scaler of fp16; without autocast, the same numbers."""
    assert_same(alone, learn(tmp_path / "two.safetensors", 2, "--scaled"))


def test_sharded_weights_over_two_processes(alone, tmp_path):
    """As FSDP does on GPUs; the second half goes on from a checkpoint of the first."""
    assert_same(alone, learn(tmp_path / "two.safetensors", 2, "--sharded", "--checkpoints", tmp_path / "checkpoints"))


def test_accumulation_equals_the_larger_batch(tmp_path):
    whole = learn(tmp_path / "whole.safetensors", 1, "--contrastive_weight", "0")
    assert_same(whole, learn(tmp_path / "parts.safetensors", 1, "--contrastive_weight", "0", "--accumulation", "2"))


def test_accumulation_on_two_processes(alone, tmp_path):
    both = learn(tmp_path / "both.safetensors", 2, "--contrastive_weight", "0", "--accumulation", "2")
    whole = learn(tmp_path / "whole.safetensors", 1, "--contrastive_weight", "0")
    assert_same(whole, both)
    assert not torch.allclose(alone["network/classifier.weight"], whole["network/classifier.weight"])  # lambda counts


def test_sums_on_two_processes_and_accumulated(tmp_path):
    """Sums over all that a step sees, however it is spread; the contrastive loss compares within a batch."""
    options = "--loss_reduction", "sum", "--contrastive_weight"
    whole = learn(tmp_path / "whole.safetensors", 1, *options, "0.1")
    assert_same(whole, learn(tmp_path / "two.safetensors", 2, *options, "0.1"))
    parts = learn(tmp_path / "parts.safetensors", 1, *options, "0", "--accumulation", "2")
    assert_same(learn(tmp_path / "one.safetensors", 1, *options, "0"), parts)


def test_scales_by_hand():
    """3 and 1 recordings, 4 and 6 tagged tokens, 0 and 2 of replacements, 10 and 30 frames, 2 and 0 anchors.

    And 2 and 1 transcripts.
    """
    window = [
        {
            "labels": torch.tensor([0, 0, 1]),
            "all_labels": torch.tensor([0, 0, 1]),
            "aed_labels": torch.tensor([[0, 1, -100], [2, -100, -100], [0, -100, -100]]),
            "correction_ids": torch.empty(0, 1, dtype=torch.long),
            "frame_lengths": torch.tensor([2, 3, 5]),
            "recognition_labels": torch.tensor([[4, 2], [3, -100], [-100, -100]]),
        },
        {
            "labels": torch.tensor([0]),
            "all_labels": torch.tensor([0]),
            "aed_labels": torch.tensor([[0, 0, 0, 1, 2, 0, -100]]),
            "correction_ids": torch.tensor([[5, 1, -100]]),
            "frame_lengths": torch.tensor([30]),
            "recognition_labels": torch.tensor([[1, -100]]),
        },
    ]
    scales = LossScales(window, Accelerator(cpu=True))
    expected = {
        "emotion": (0.75, 0.25),
        "error_detection": (0.4, 0.6),
        "error_correction": (0.0, 1.0),
        "recognition": (0.666667, 0.333333),
        "discriminator": (0.25, 0.75),
        "generator": (0.25, 0.75),
        "contrastive": (1.0, 0.0),
        "of_a_system": (0.75, 0.25),
    }
    assert {
        name: tuple(round(float(scales.scale(index, name)), 6) for index in (0, 1)) for name in expected
    } == expected
    assert set(OBJECTIVES) < set(expected)
    # As sums: times what there is in all, but for the expectations of eq. 20.
    scales = LossScales(window, Accelerator(cpu=True), "sum")
    counts = {"emotion": 4, "error_detection": 10, "error_correction": 2, "recognition": 3, "contrastive": 2}
    counts |= {"of_a_system": 4}
    for name, shares in expected.items():
        found = [float(scales.scale(index, name)) for index in (0, 1)]
        assert found == pytest.approx([share * counts.get(name, 1) for share in shares], abs=1e-5)
