"""Every loss against plain float64 loops, on what breaks formulas: padding, lone classes, nothing to correct.

Tolerances: 1e-9 in float64, 1e-5 in float32, 2e-2 for bfloat16 inputs (8 bits of mantissa; losses of 1 to 4).
"""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from pytorch_metric_learning.losses import SupConLoss

from m4ser.losses import (
    IGNORED,
    OBJECTIVES,
    LossInputs,
    Objective,
    check_objective,
    compute_losses,
    contrastive_loss,
    discriminator_loss,
    emotion_loss,
    error_correction_loss,
    error_detection_loss,
    generator_loss,
    joint_loss,
    recognition_loss,
)
from tests import oracles

TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-5, torch.bfloat16: 2e-2}
TWO_LN_2 = 1.3862943611198906

dtypes = pytest.mark.parametrize("dtype", TOLERANCE, ids=str)


def random(*shape, seed=0, scale=1.0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * scale


def check(loss, expected, dtype):
    assert loss.shape == ()
    assert loss.item() == pytest.approx(expected, abs=TOLERANCE[dtype])


@dtypes
@pytest.mark.parametrize("labels", [[0, 1, 2, 3, 1, 0], [2, 2, 2], [3]], ids=["mixed", "one class", "single item"])
def test_emotion_loss(labels, dtype):
    logits = random(len(labels), 4)
    expected = oracles.cross_entropy(logits.numpy(), labels)
    check(emotion_loss(logits.to(dtype), torch.tensor(labels)), expected, dtype)


TAGS = {
    "padded": [[0, 1, 2, 2, -100], [0, 0, -100, -100, -100]],
    "single item": [[0, 1, 2, -100]],
    "no CHANGE": [[0, 0, 1, -100], [0, 0, 0, -100]],
    "everything CHANGE": [[2, 2, 2, 2]],
    "no label": [[-100, -100], [-100, -100]],
}


@dtypes
@pytest.mark.parametrize("tags", TAGS.values(), ids=TAGS)
def test_error_detection_loss(tags, dtype):
    logits = random(len(tags), len(tags[0]), 3)
    expected = oracles.cross_entropy(logits.flatten(0, 1).numpy(), np.concatenate(tags))
    check(error_detection_loss(logits.to(dtype), torch.tensor(tags)), expected, dtype)


@dtypes
@pytest.mark.parametrize("ids", [[[5, 6, 2], [7, 2, -100], [2, -100, -100]], [[4, 2]]], ids=["many", "one"])
def test_error_correction_loss(ids, dtype):
    logits = random(len(ids), len(ids[0]), 11)
    expected = oracles.cross_entropy(logits.flatten(0, 1).numpy(), np.concatenate(ids))
    check(error_correction_loss(logits.to(dtype), torch.tensor(ids)), expected, dtype)


def test_nothing_to_correct_is_zero_with_a_gradient():
    logits = torch.zeros(0, 4, 11, requires_grad=True)
    loss = error_correction_loss(logits, torch.zeros(0, 4, dtype=torch.long))
    loss.backward()
    assert loss.item() == 0
    assert logits.grad.shape == (0, 4, 11)


def test_no_tags_is_zero_with_a_zero_gradient():
    logits = random(2, 3, 3).requires_grad_()
    loss = error_detection_loss(logits, torch.full((2, 3), -100))
    loss.backward()
    assert loss.item() == 0
    assert logits.grad.eq(0).all()


LABELS = {
    "mixed": [0, 1, 0, 2, 1, 0, 3],
    "a class with one member": [0, 0, 1],
    "one class": [2, 2, 2, 2],
    "a pair": [1, 1],
}


@dtypes
@pytest.mark.parametrize("temperature", [0.07, 0.5])
@pytest.mark.parametrize("include_self", [False, True])
@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_contrastive_loss(labels, include_self, temperature, dtype):
    embeddings = random(len(labels), 24)
    expected = oracles.contrastive(embeddings.numpy(), labels, temperature, include_self)
    check(contrastive_loss(embeddings.to(dtype), torch.tensor(labels), temperature, include_self), expected, dtype)


@pytest.mark.parametrize("temperature", [0.07, 0.5])
@pytest.mark.parametrize("labels", [LABELS["mixed"], LABELS["a class with one member"]])
def test_contrastive_loss_against_pytorch_metric_learning(labels, temperature):
    # Where no sample is negative that library gives 0, which eq. 21 does not.
    embeddings, labels = random(len(labels), 24), torch.tensor(labels)
    expected = SupConLoss(temperature=temperature)(embeddings, labels)
    assert contrastive_loss(embeddings, labels, temperature).item() == pytest.approx(expected.item(), abs=1e-6)


@pytest.mark.parametrize("labels", [[0, 1, 2], [0]], ids=["all different", "single item"])
def test_contrastive_loss_without_positives(labels):
    embeddings = random(len(labels), 24).requires_grad_()
    loss = contrastive_loss(embeddings, torch.tensor(labels))
    loss.backward()
    assert loss.item() == 0
    assert embeddings.grad.eq(0).all()


def test_contrastive_loss_does_not_depend_on_the_order():
    embeddings, labels = random(7, 24), torch.tensor(LABELS["mixed"])
    order = torch.tensor([3, 0, 6, 2, 5, 1, 4])
    shuffled = contrastive_loss(embeddings[order], labels[order])
    assert shuffled.item() == pytest.approx(contrastive_loss(embeddings, labels).item(), abs=1e-9)


def frames(lengths, seed=0, scale=1.0):
    """Logits of three streams (B, m) and the mask."""
    mask = torch.tensor([[step < length for step in range(max(lengths))] for length in lengths])
    return [random(*mask.shape, seed=seed + stream, scale=scale) for stream in range(3)], mask


@dtypes
@pytest.mark.parametrize("lengths", [[6, 2, 4], [5], [1, 1]], ids=["padded", "single item", "one frame"])
def test_adversarial_losses(lengths, dtype):
    streams, mask = frames(lengths)
    probabilities = [oracles.sigmoid(stream[mask].numpy()) for stream in streams]
    told_apart, confused = oracles.adversarial(*probabilities)
    streams = [stream.to(dtype) for stream in streams]
    check(generator_loss(streams[2], mask), confused, dtype)
    check(discriminator_loss(*streams, mask), -(told_apart + confused), dtype)


def test_generator_loss_is_least_at_one_half():
    mask = torch.ones(2, 3, dtype=torch.bool)
    assert generator_loss(torch.zeros(2, 3), mask).item() == pytest.approx(TWO_LN_2, abs=1e-6)
    for logit in (-3.0, -0.1, 0.1, 3.0):
        assert generator_loss(torch.full((2, 3), logit), mask).item() > TWO_LN_2


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_adversarial_losses_do_not_overflow(dtype):
    logits = torch.tensor([[-300.0, 300.0]], dtype=dtype).requires_grad_()
    mask = torch.ones(1, 2, dtype=torch.bool)
    loss = generator_loss(logits, mask) + discriminator_loss(logits, logits, logits, mask)
    loss.backward()
    assert loss.item() == pytest.approx(300, rel=1e-3)  # L_G cancels; D's first terms are 300 a frame
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("more", [1, 7])
def test_padding_never_changes_a_loss(more):
    (speech, text, shared), mask = frames([4, 2])
    wider = [torch.cat([stream, random(2, more, seed=9)], dim=1) for stream in (speech, text, shared)]
    wider_mask = torch.nn.functional.pad(mask, (0, more))
    assert generator_loss(wider[2], wider_mask).item() == pytest.approx(generator_loss(shared, mask).item(), abs=1e-9)
    assert discriminator_loss(*wider, wider_mask).item() == pytest.approx(
        discriminator_loss(speech, text, shared, mask).item(), abs=1e-9
    )
    logits, labels = random(2, 4, 3), torch.tensor([[0, 2, 1, -100], [0, -100, -100, -100]])
    padded = (
        torch.cat([logits, random(2, more, 3, seed=9)], dim=1),
        torch.nn.functional.pad(labels, (0, more), value=-100),
    )
    assert error_detection_loss(*padded).item() == pytest.approx(error_detection_loss(logits, labels).item(), abs=1e-9)


def weights(**changes):
    chosen = {"auxiliary_weight": 0.1, "detection_weight": 3.0, "adversarial_weight": 0.01, "contrastive_weight": 0.2}
    return SimpleNamespace(
        **{**chosen, "temperature": 0.5, "recognition_weight": 0.1, "contrastive_include_self": False, **changes}
    )


def test_joint_loss_is_equation_22():
    losses = {
        "emotion": 1.0,
        "error_detection": 10.0,
        "error_correction": 100.0,
        "generator": 1000.0,
        "contrastive": 10000.0,
        "discriminator": 1e6,  # D minimizes it on its own
        "of_a_system": 1e5,
    }
    losses = {name: torch.tensor(value, dtype=torch.float64) for name, value in losses.items()}
    expected = 1 + 0.1 * (3 * 10 + 100) + 0.01 * 1000 + 0.2 * 10000 + 1e5
    assert joint_loss(losses, weights()).item() == pytest.approx(expected)
    assert joint_loss({"emotion": losses["emotion"]}, weights()).item() == 1.0


def output_of(**fields):
    return SimpleNamespace(logits=random(2, 4), embeddings=random(2, 8), auxiliary_losses=None, **fields)


BATCH = {
    "labels": torch.tensor([1, 1]),
    "all_labels": torch.tensor([1, 1]),
    "aed_labels": torch.tensor([[0, 2, -100], [0, -100, -100]]),
    "correction_ids": torch.tensor([[5, 2]]),
}


def test_losses_are_those_that_the_output_allows():
    output = output_of(aed_logits=None, aec_logits=None)
    losses = compute_losses(LossInputs(output, BATCH, weights()))
    assert set(losses) == {"emotion", "contrastive"}
    expected = oracles.contrastive(output.embeddings.numpy(), [1, 1], 0.5)
    assert losses["contrastive"].item() == pytest.approx(expected, abs=1e-6)
    literal = compute_losses(LossInputs(output, BATCH, weights(contrastive_include_self=True)))["contrastive"]
    expected = oracles.contrastive(output.embeddings.numpy(), [1, 1], 0.5, include_self=True)
    assert literal.item() == pytest.approx(expected, abs=1e-6)
    assert literal > losses["contrastive"]
    output.aed_logits, output.aec_logits = random(2, 3, 3), random(1, 2, 11)
    without = compute_losses(LossInputs(output, BATCH, weights(contrastive_weight=0.0)))
    assert set(without) == {"emotion", "error_detection", "error_correction"}
    losses = compute_losses(LossInputs(output, BATCH, weights()))
    assert set(losses) == {"emotion", "contrastive", "error_detection", "error_correction"}
    assert all(math.isfinite(loss) for loss in losses.values())
    assert losses["error_correction"].item() == pytest.approx(
        oracles.cross_entropy(output.aec_logits[0].numpy(), [5, 2]), abs=1e-6
    )
    assert np.isclose(
        losses["error_detection"].item(),
        oracles.cross_entropy(output.aed_logits.flatten(0, 1).numpy(), [0, 2, -100, 0, -100, -100]),
        atol=1e-6,
    )


def test_own_losses_of_a_system_are_means_over_recordings():
    output = output_of()
    output.auxiliary_losses = {"spaces": torch.tensor([1.0, 4.0]), "moments": torch.tensor(3.0)}
    losses = compute_losses(LossInputs(output, BATCH, weights(contrastive_weight=0.0)))
    assert {name: losses[name].item() for name in ("spaces", "moments")} == {"spaces": 2.5, "moments": 3.0}


def test_own_loss_with_a_taken_name_is_refused():
    output = output_of()
    output.auxiliary_losses = {"emotion": torch.zeros(2)}
    with pytest.raises(ValueError, match="loss emotion has the name of a loss of every system"):
        compute_losses(LossInputs(output, BATCH, weights()))


def test_task_without_a_loss_is_refused():
    check_objective(weights(), ("detection", "correction", "recognition"))
    with pytest.raises(ValueError, match="No loss trains the auxiliary task diarization"):
        check_objective(weights(), ("detection", "diarization"))


def test_loss_with_an_unknown_weight_is_refused(monkeypatch):
    toy = Objective("toy", "toy", OBJECTIVES["emotion"].count, OBJECTIVES["emotion"].compute, ("toy_weight",))
    monkeypatch.setitem(OBJECTIVES, "toy", toy)
    with pytest.raises(ValueError, match="toy is weighed by toy_weight, which is no argument"):
        check_objective(weights())


def test_recognition_loss_by_hand():
    """Two frames, "a": the alignments aa, a- and -a; three quarters where each character has probability one half."""
    logits, mask = torch.zeros(3, 3, 2), torch.tensor([[True, True, False]] * 3)
    logits[:, 2] = 7.0  # padding
    labels = torch.tensor([[1, IGNORED, IGNORED], [IGNORED] * 3, [1, 1, 1]])
    found = recognition_loss(logits.requires_grad_(), mask, labels)
    torch.testing.assert_close(found, torch.tensor([-math.log(0.75), 0.0, 0.0]))  # three a's need five frames
    found.sum().backward()
    assert logits.grad.isfinite().all() and not logits.grad[:, 2].any()
