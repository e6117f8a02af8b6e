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
    answer = module(query.to(dtype), memory.to(dtype), mask)
    np.testing.assert_allclose(answer.detach().double().numpy(), expected, rtol=0, atol=TOLERANCE[dtype])


@implementations
def test_causal_attention(implementation):
    module, states = attention(implementation), torch.randn(2, 5, WIDTH, dtype=torch.float64)
    weights = oracles.weights_of(module)
    expected = [oracles.attention(weights, row.numpy(), row.numpy(), HEADS, causal=True) for row in states]
    answer = module(states, states, is_causal=True)
    np.testing.assert_allclose(answer.detach().numpy(), expected, rtol=0, atol=1e-9)


@implementations
def test_a_memory_that_is_masked_everywhere_gives_zeros(implementation):
    module = attention(implementation)
    mask = torch.tensor([[False, False], [True, False]])
    answer = module(*torch.randn(2, 2, 2, WIDTH, dtype=torch.float64), mask)
    torch.testing.assert_close(answer[0], module.output.bias.expand(2, -1))
    assert answer.isfinite().all()


@implementations
def test_no_sequence_at_all(implementation):
    answer = attention(implementation)(torch.zeros(0, 3, WIDTH).double(), torch.zeros(0, 4, WIDTH).double())
    assert answer.shape == (0, 3, WIDTH)


def test_feed_forward():
    module, states = randomize(FeedForward(WIDTH, 36)).double(), torch.randn(5, WIDTH, dtype=torch.float64)
    expected = oracles.feed_forward(oracles.weights_of(module), states.numpy())
    np.testing.assert_allclose(module(states).detach().numpy(), expected, rtol=0, atol=1e-9)
