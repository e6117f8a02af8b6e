"""Modality-gated fusion on vectors, against numpy on one recording at a time; its gates and its config."""

import math

import numpy as np
import pytest
import torch

from m4ser.systems.gated_fusion import GatedFusionConfig, GatedFusionModel
from tests.tiny import WIDTH, randomize, tiny_config


@pytest.fixture
def model():
    encoders = tiny_config()
    torch.manual_seed(0)
    config = GatedFusionConfig(
        speech_config=encoders.speech_config,
        text_config=encoders.text_config,
        hidden_size=WIDTH,
        intermediate_size=36,
        classifier_sizes=[10, 7],
    )
    return randomize(GatedFusionModel(config)).double().eval()


@pytest.fixture
def vectors():
    return torch.randn(2, 3, WIDTH, generator=torch.Generator().manual_seed(0)).double()


def linear(layer, vector):
    return layer.weight.detach().numpy() @ vector + layer.bias.detach().numpy()


def normalized(norm, vector):
    scaled = (vector - vector.mean()) / math.sqrt(vector.var() + norm.eps)
    return scaled * norm.weight.detach().numpy() + norm.bias.detach().numpy()


def attended(module, vector):
    return linear(module.output, linear(module.value, vector))


def mixed(module, first, second):
    first, second = (
        normalized(module.first_norm, first + attended(module.attention, second)),
        normalized(module.second_norm, second + attended(module.attention, first)),
    )
    both = np.concatenate([first, second])
    hidden = np.maximum(linear(module.feed_forward[0], both), 0)
    return normalized(module.output_norm, both + linear(module.feed_forward[2], hidden))


@pytest.mark.parametrize("gate", [(0.3, -0.4), (-0.4, 0.3), (1.0, 1.0)])
def test_fusion_by_numpy(model, vectors, gate):
    model.gate.data = torch.tensor(gate, dtype=torch.float64)
    w = [math.exp(value) / sum(map(math.exp, gate)) for value in gate]
    exponentials = np.exp(model.mixture.detach().numpy())
    v = exponentials / exponentials.sum()
    found = model.fuse(*vectors).detach().numpy()
    for x, y, row in zip(*vectors.numpy(), found, strict=True):
        if gate[0] >= gate[1]:  # speech is the first of two that weigh the same
            gated = [w[0] * x, w[1] * mixed(model.cross_attention, x, y)]
        else:
            gated = [w[0] * mixed(model.cross_attention, y, x), w[1] * y]
        third = attended(model.self_attention, np.concatenate(gated))
        np.testing.assert_allclose(row, np.concatenate([v[0] * x, v[1] * y, v[2] * third]), atol=1e-10)


def test_head_by_numpy(model, vectors, monkeypatch):
    """Means over valid steps, two layers with ReLU, and the head."""
    speech, text = vectors[0][:1, None].repeat(1, 4, 1), vectors[1][:1, None].repeat(1, 3, 1)
    speech[:, 2:] = 7.0
    masks = torch.tensor([[True, True, False, False]]), torch.ones(1, 3).bool()
    monkeypatch.setattr(model, "encode_speech", lambda *_: (speech, masks[0]))
    monkeypatch.setattr(model, "encode_text", lambda *_: (text, masks[1]))
    output = model()
    hidden = model.fuse(vectors[0][:1], vectors[1][:1]).detach().numpy()[0]
    for layer in (model.hidden[0], model.hidden[2]):
        hidden = np.maximum(linear(layer, hidden), 0)
    np.testing.assert_allclose(output.embeddings[0].detach(), hidden, atol=1e-10)
    np.testing.assert_allclose(output.logits[0].detach(), linear(model.classifier, hidden), atol=1e-10)


def test_attention_to_one_vector_is_torchs(model, vectors):
    """Whatever the heads, queries and keys."""
    theirs = torch.nn.MultiheadAttention(WIDTH, 4, batch_first=True).double()
    ours = model.cross_attention.attention
    theirs.in_proj_weight.data[2 * WIDTH :] = ours.value.weight.data
    theirs.in_proj_bias.data[2 * WIDTH :] = ours.value.bias.data
    theirs.out_proj.load_state_dict(ours.output.state_dict())
    expected, _ = theirs(vectors[0][:, None], vectors[1][:, None], vectors[1][:, None])
    torch.testing.assert_close(ours(vectors[1]), expected[:, 0])


def test_both_gates_learn(model, vectors):
    model.fuse(*vectors).square().sum().backward()
    assert model.gate.grad.all() and model.mixture.grad.all()


def test_gates_begin_alike(model):
    fresh = GatedFusionModel(model.config)
    assert fresh.gate.tolist() == [1, 1] and fresh.mixture.tolist() == [1, 1, 1]


def test_defaults_are_the_published():
    config = GatedFusionConfig()
    assert (config.intermediate_size, config.hidden_dropout, config.classifier_dropout) == (1024, 0.1, 0)
    assert config.classifier_sizes == [128, 16]


@pytest.mark.parametrize("sizes", [[], [128, 0], [12.5]])
def test_layers_that_cannot_be_are_refused(sizes):
    with pytest.raises(ValueError, match="classifier_sizes are whole numbers above 0"):
        GatedFusionConfig(classifier_sizes=sizes)
