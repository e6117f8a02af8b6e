"""MISA on tiny encoders, against numpy on one recording at a time: its spaces, its fusion and its weighted losses."""

import math

import numpy as np
import pytest
import torch

from m4ser.systems.misa import MISAConfig, MISAModel
from tests.tiny import HEADS, WIDTH, randomize, tiny_config

SIZE = 12
WEIGHTS = {"orthogonality_weight": 0.7, "moment_weight": 2.0, "reconstruction_weight": 3.0}


def build(**fields):
    encoders = tiny_config()
    sizes = {"hidden_size": WIDTH, "num_attention_heads": HEADS, "intermediate_size": 20, "space_size": SIZE}
    torch.manual_seed(0)
    config = MISAConfig(speech_config=encoders.speech_config, text_config=encoders.text_config, **sizes, **fields)
    return randomize(MISAModel(config)).double().eval()


@pytest.fixture
def model():
    return build(**WEIGHTS)


@pytest.fixture
def means():
    """Of text and speech, (2, 5, WIDTH)."""
    return torch.randn(2, 5, WIDTH, generator=torch.Generator().manual_seed(1)).double()


def run(model, means, monkeypatch, labels=None):
    mask = torch.ones(means.shape[1], 1).bool()
    monkeypatch.setattr(model, "encode_text", lambda *_: (means[0][:, None], mask))
    monkeypatch.setattr(model, "encode_speech", lambda *_: (means[1][:, None], mask))
    return model(labels=labels)


def linear(layer, vectors):
    return vectors @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()


def normalized(norm, vectors):
    scaled = (vectors - vectors.mean(-1, keepdims=True)) / np.sqrt(vectors.var(-1, keepdims=True) + norm.eps)
    return scaled * norm.weight.detach().numpy() + norm.bias.detach().numpy()


def sigmoid(values):
    return 1 / (1 + np.exp(-values))


def spaces(model, means):
    """Projected, private and shared vectors, each of text and speech."""
    found = []
    for own, mean in zip((model.text_spaces, model.speech_spaces), means.numpy(), strict=True):
        projected = normalized(own.projection[2], np.maximum(linear(own.projection[0], mean), 0))
        found.append(
            (projected, sigmoid(linear(own.private[0], projected)), sigmoid(linear(model.shared[0], projected)))
        )
    return zip(*found, strict=True)


def transformed(layer, steps):
    """One post-norm transformer layer on steps (k, s)."""
    weight, bias = layer.self_attn.in_proj_weight.detach().numpy(), layer.self_attn.in_proj_bias.detach().numpy()
    query, key, value = np.split(steps @ weight.T + bias, 3, axis=-1)
    size, context = SIZE // HEADS, np.zeros_like(steps)
    for head in range(HEADS):
        part = slice(head * size, (head + 1) * size)
        scores = np.exp(query[:, part] @ key[:, part].T / math.sqrt(size))
        context[:, part] = scores / scores.sum(-1, keepdims=True) @ value[:, part]
    steps = normalized(layer.norm1, steps + linear(layer.self_attn.out_proj, context))
    return normalized(layer.norm2, steps + linear(layer.linear2, np.maximum(linear(layer.linear1, steps), 0)))


def test_logits_by_numpy(model, means, monkeypatch):
    output = run(model, means, monkeypatch)
    _, private, shared = spaces(model, means)
    for index, vectors in enumerate(zip(*private, *shared, strict=True)):
        fused = transformed(model.fusion, np.stack(vectors)).reshape(-1)
        hidden = np.maximum(linear(model.hidden, fused), 0)
        np.testing.assert_allclose(output.embeddings[index].detach(), hidden, atol=1e-9)
        np.testing.assert_allclose(output.logits[index].detach(), linear(model.classifier, hidden), atol=1e-9)


def discrepancy(first, second, moments):
    distance = np.linalg.norm(first.mean(0) - second.mean(0))
    for order in range(2, moments + 1):
        central = [np.mean((space - space.mean(0)) ** order, axis=0) for space in (first, second)]
        distance += np.linalg.norm(central[0] - central[1])
    return distance


def correlation(first, second):
    units = []
    for space in (first, second):
        centered = space - space.mean(0)
        units.append(centered / (np.linalg.norm(centered, axis=1, keepdims=True) + 1e-6))
    return np.mean(np.einsum("bi,bj->ij", *units) ** 2)


def test_losses_by_numpy(model, means, monkeypatch):
    losses = run(model, means, monkeypatch, torch.tensor([0, 1, 2, 3, 0])).auxiliary_losses
    projected, private, shared = map(list, spaces(model, means))
    pairs = (private[0], shared[0]), (private[1], shared[1]), (private[0], private[1])
    reconstructed = [
        linear(own.reconstruction, mine + common)
        for own, mine, common in zip((model.text_spaces, model.speech_spaces), private, shared, strict=True)
    ]
    errors = [np.mean((a - b) ** 2, axis=1) for a, b in zip(reconstructed, projected, strict=True)]
    assert losses["moments"].item() == pytest.approx(2.0 * discrepancy(*shared, moments=5), rel=1e-9)
    assert losses["orthogonality"].item() == pytest.approx(0.7 * sum(correlation(*pair) for pair in pairs), rel=1e-9)
    np.testing.assert_allclose(losses["reconstruction"].detach(), 3.0 * (errors[0] + errors[1]) / 2, rtol=1e-5)


def test_both_modalities_share_one_space(model, means, monkeypatch):
    """The losses' gradients: the shared space gets one from each, the private ones none from the moments."""
    losses = run(model, means, monkeypatch, torch.tensor([0, 1, 2, 3, 0])).auxiliary_losses
    losses["moments"].backward(retain_graph=True)
    assert model.shared[0].weight.grad.any()
    assert model.speech_spaces.private[0].weight.grad is None and model.text_spaces.private[0].weight.grad is None


def test_batch_of_one_has_no_losses_between_spaces(model, means, monkeypatch):
    losses = run(model, means[:, :1], monkeypatch, torch.tensor([0])).auxiliary_losses
    assert losses["moments"].item() == losses["orthogonality"].item() == 0
    assert losses["reconstruction"].item() > 0


def test_defaults_are_the_published():
    config = MISAConfig()
    assert (config.space_size, config.num_attention_heads, config.intermediate_size) == (128, 2, 2048)
    assert (config.orthogonality_weight, config.moment_weight, config.reconstruction_weight) == (0.3, 1.0, 1.0)
    assert (config.num_moments, config.hidden_dropout, config.classifier_dropout) == (5, 0.1, 0.5)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"space_size": 0}, "space_size is a whole number above 0"),
        ({"num_moments": 0}, "num_moments is a whole number above 0"),
        ({"space_size": 7}, "space_size makes an attention 7 wide"),
    ],
)
def test_config_that_cannot_work_is_refused(fields, reason):
    with pytest.raises(ValueError, match=reason):
        MISAConfig(**fields)
