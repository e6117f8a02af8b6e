"""MER-HAN's fusion against numpy on one recording at a time; and its config."""

import math

import numpy as np
import pytest
import torch

from m4ser.systems.mer_han import MERHANConfig, MERHANModel
from tests.systems.derivation import array, lstm
from tests.tiny import HEADS, WIDTH, randomize, tiny_config

LENGTHS = [(6, 3), (4, 5), (5, 1)]  # frames and tokens of three recordings


@pytest.fixture
def model():
    encoders = tiny_config()
    torch.manual_seed(0)
    config = MERHANConfig(
        speech_config=encoders.speech_config,
        text_config=encoders.text_config,
        hidden_size=WIDTH,
        num_attention_heads=HEADS,
        recurrent_size=10,
        common_size=16,
    )
    return randomize(MERHANModel(config)).double().eval()


def linear(layer, steps):
    bias = 0 if layer.bias is None else layer.bias.detach().numpy()
    return steps @ layer.weight.detach().numpy().T + bias


def attended(block, queries, memory):
    """LN(query + attention) of steps (q, w) to steps (k, w), head by head."""
    attention = block.attention
    q, k, v = linear(attention.query, queries), linear(attention.key, memory), linear(attention.value, memory)
    size, context = q.shape[1] // HEADS, np.zeros_like(q)
    for head in range(HEADS):
        part = slice(head * size, (head + 1) * size)
        weights = np.exp(q[:, part] @ k[:, part].T / math.sqrt(size))
        context[:, part] = weights / weights.sum(1, keepdims=True) @ v[:, part]
    steps = queries + linear(attention.output, context)
    scaled = (steps - steps.mean(1, keepdims=True)) / np.sqrt(steps.var(1, keepdims=True) + block.norm.eps)
    return scaled * block.norm.weight.detach().numpy() + block.norm.bias.detach().numpy()


def stretched(steps, count):
    """Linear interpolation of steps (n, w) to `count`, as torch has it for images."""
    image = torch.from_numpy(steps.T[None])
    return torch.nn.functional.interpolate(image, count, mode="linear", align_corners=False)[0].numpy().T


def fused(model, frames, tokens):
    speech = array(frames)
    for layer in model.recurrent.layers:
        speech = lstm(layer, speech)
    speech = linear(model.speech_projection, attended(model.speech_attention, speech, speech))
    text = tokens.numpy()
    text = linear(model.text_projection, attended(model.text_attention, text, text))
    speech_stream = attended(model.speech_query_attention, speech, text)
    text_stream = attended(model.text_query_attention, text, speech)
    total = speech_stream + stretched(text_stream, len(speech))
    pooling = model.global_attention
    weights = np.exp(linear(pooling.score, np.tanh(linear(pooling.hidden, total)))[:, 0])
    return weights / weights.sum() @ total


def test_fusion_by_numpy(model):
    generator = torch.Generator().manual_seed(0)
    speech, text = (torch.randn(3, steps, WIDTH, generator=generator).double() for steps in (6, 5))
    masks = [
        torch.arange(steps) < torch.tensor([lengths[side] for lengths in LENGTHS])[:, None]
        for side, steps in enumerate((6, 5))
    ]
    found = model.fuse(speech, text, *masks).detach().numpy()
    for index, (frames, tokens) in enumerate(LENGTHS):
        expected = fused(model, speech[index, :frames], text[index, :tokens])
        np.testing.assert_allclose(found[index], expected, atol=1e-9)


def test_each_attention_has_its_width(model):
    widths = {
        name: getattr(model, f"{name}_attention").norm.normalized_shape
        for name in ("speech", "text", "speech_query", "text_query")
    }
    assert widths == {"speech": (20,), "text": (WIDTH,), "speech_query": (16,), "text_query": (16,)}
    assert model.config.hidden_size == WIDTH


def test_defaults_are_the_published():
    config = MERHANConfig()
    assert (config.recurrent_size, config.common_size, config.num_attention_heads) == (256, 256, 4)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"recurrent_size": 0}, "recurrent_size is a whole number above 0"),
        ({"recurrent_size": 5}, "recurrent_size makes an attention 10 wide"),
        ({"common_size": 6}, "common_size makes an attention 6 wide"),
    ],
)
def test_config_that_cannot_work_is_refused(fields, reason):
    with pytest.raises(ValueError, match=reason):
        MERHANConfig(**fields)
