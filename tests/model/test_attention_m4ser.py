"""Attention against its oracle, in both implementations, and on memories that are masked in part or altogether.

Tolerances: 1e-9 in float64, 1e-5 in float32, 5e-2 in bfloat16 (8 bits of mantissa; outputs of about 1).
"""

import numpy as np
import pytest
import torch

from m4ser.model.attention_m4ser import FeedForward, MultiHeadAttention
from tests import oracles
from tests.tiny import HEADS, WIDTH, randomize, tiny_config

TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-5, torch.bfloat16: 5e-2}
implementations = pytest.mark.parametrize("implementation", ["eager", "sdpa"])


def attention(implementation, dtype=torch.float64):
    return randomize(MultiHeadAttention(tiny_config(attn_implementation=implementation))).to(dtype)


@implementations
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("lengths", [[5, 2, 1], [3]], ids=["padded", "single item"])
def test_cross_attention(lengths, dtype, implementation):
    module = attention(implementation, dtype)
    query = torch.randn(len(lengths), 4, WIDTH, dtype=torch.float64)
    memory = torch.randn(len(lengths), max(lengths), WIDTH, dtype=torch.float64)
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    weights = oracles.weights_of(module)
    expected = [
        oracles.attention(weights, q.numpy(), m[:length].numpy(), HEADS)
        for q, m, length in zip(query, memory, lengths, strict=True)
    ]
    context, _ = module(query.to(dtype), memory.to(dtype), mask)
    np.testing.assert_allclose(context.detach().double().numpy(), expected, rtol=0, atol=TOLERANCE[dtype])


@implementations
def test_causal_attention(implementation):
    module, states = attention(implementation), torch.randn(2, 5, WIDTH, dtype=torch.float64)
    weights = oracles.weights_of(module)
    expected = [oracles.attention(weights, row.numpy(), row.numpy(), HEADS, causal=True) for row in states]
    context, _ = module(states, states, is_causal=True)
    np.testing.assert_allclose(context.detach().numpy(), expected, rtol=0, atol=1e-9)


@implementations
def test_fully_masked_memory_gives_zeros(implementation):
    module = attention(implementation)
    mask = torch.tensor([[False, False], [True, False]])
    context, _ = module(*torch.randn(2, 2, 2, WIDTH, dtype=torch.float64), mask)
    torch.testing.assert_close(context[0], module.output.bias.expand(2, -1))
    assert context.isfinite().all()


@implementations
def test_empty_batch(implementation):
    context, _ = attention(implementation)(torch.zeros(0, 3, WIDTH).double(), torch.zeros(0, 4, WIDTH).double())
    assert context.shape == (0, 3, WIDTH)


def test_eager_weights_are_distributions_over_valid_memory():
    mask = torch.tensor([[True, True, False], [True, False, False], [False, False, False]])
    _, weights = attention("eager")(*torch.randn(2, 3, 3, WIDTH, dtype=torch.float64), mask)
    assert weights.shape == (3, HEADS, 3, 3)
    assert weights.masked_select(~mask[:, None, None]).eq(0).all()
    expected = torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64)[:, None, None].expand(-1, HEADS, 3)
    torch.testing.assert_close(weights.sum(-1), expected)


def test_sdpa_has_no_weights():
    states = torch.randn(1, 3, WIDTH, dtype=torch.float64)
    assert attention("sdpa")(states, states)[1] is None


def test_feed_forward():
    module, states = randomize(FeedForward(WIDTH, 36)).double(), torch.randn(5, WIDTH, dtype=torch.float64)
    expected = oracles.feed_forward(oracles.weights_of(module), states.numpy())
    np.testing.assert_allclose(module(states).detach().numpy(), expected, rtol=0, atol=1e-9)
