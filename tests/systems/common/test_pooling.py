"""Pooling over valid steps alone, on values worked out by hand."""

import math

import torch

from m4ser.systems.common.pooling import AttentionPooling, first_valid, masked_max, masked_softmax

STATES = torch.tensor([[[1.0, -5.0], [2.0, -6.0], [9.0, 9.0]], [[3.0, 4.0], [9.0, 9.0], [9.0, 9.0]]])
MASK = torch.tensor([[True, True, False], [False, False, False]])


def test_maximum_is_of_valid_steps():
    assert masked_max(STATES, MASK).tolist() == [[2.0, -5.0], [0.0, 0.0]]


def test_first_valid_step():
    assert first_valid(STATES, torch.tensor([[False, True, True], [True, True, True]])).tolist() == [[2, -6], [3, 4]]


def test_softmax_over_valid_steps():
    found = masked_softmax(torch.tensor([[math.log(3.0), 0.0, 50.0], [1.0, 2.0, 3.0]]), MASK)
    torch.testing.assert_close(found, torch.tensor([[0.75, 0.25, 0.0], [0.0, 0.0, 0.0]]))


def test_attention_weights_are_softmax_of_tanh():
    pooling = AttentionPooling(2)
    torch.nn.init.eye_(pooling.hidden.weight)
    torch.nn.init.zeros_(pooling.hidden.bias)
    pooling.score.weight.data = torch.tensor([[1.0, 0.0]])
    scores = [math.exp(math.tanh(value)) for value in (1.0, 2.0)]
    expected = sum(score * row for score, row in zip(scores, STATES[0, :2], strict=True)) / sum(scores)
    torch.testing.assert_close(pooling(STATES, MASK)[0], expected)
    assert not pooling(STATES, MASK)[1].any()
