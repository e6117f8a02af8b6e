"""Eq. 2 to 7 against plain loops, parallel decoding against one replacement at a time, and rewriting a text.

Tolerances: 1e-9 in float64, 1e-4 in float32, 0.1 in bfloat16 (8 bits of mantissa; logits of about 1).
"""

import numpy as np
import pytest
import torch
from torch import nn

from m4ser.model.correction_m4ser import CHANGE, DELETE, KEEP, CorrectionDecoder, apply_corrections
from tests import oracles
from tests.tiny import BOS, EOS, HEADS, VOCABULARY, WIDTH, randomize, tiny_config

TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4, torch.bfloat16: 0.1}
TEXT_WIDTH = 16


def built(dtype=torch.float64):
    decoder = randomize(CorrectionDecoder(tiny_config())).eval().to(dtype)
    embeddings = randomize(nn.Embedding(VOCABULARY, TEXT_WIDTH), seed=1).to(dtype)
    return decoder, embeddings


def errors(lengths, seed=0):
    """For each CHANGE the state of its token, the whole hypothesis and its mask."""
    generator = torch.Generator().manual_seed(seed)
    memory = torch.randn(len(lengths), max(lengths), WIDTH, generator=generator, dtype=torch.float64)
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    return 3 * (memory[:, 0] + 1), memory, mask


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("lengths", [[6, 6, 3, 2], [4]], ids=["many", "one"])
def test_logits(lengths, dtype):
    decoder, embeddings = built(dtype)
    states, memory, mask = errors(lengths)
    token_ids = torch.randint(3, VOCABULARY, (len(lengths), 4), generator=torch.Generator().manual_seed(2))
    output = decoder(token_ids, states.to(dtype), memory.to(dtype), mask, embeddings)
    weights, table = oracles.weights_of(decoder), embeddings.weight.detach().double().numpy()
    for row, length in enumerate(lengths):
        expected = oracles.correction_logits(
            weights, token_ids[row].tolist(), states[row].numpy(), memory[row, :length].numpy(), table, HEADS
        )
        np.testing.assert_allclose(output[row].detach().double().numpy(), expected, rtol=0, atol=TOLERANCE[dtype])


def test_shift_right():
    decoder, _ = built()
    targets = torch.tensor([[7, 8, EOS], [9, EOS, -100], [EOS, -100, -100]])
    assert decoder.shift_right(targets).tolist() == [[BOS, 7, 8], [BOS, 9, EOS], [BOS, EOS, EOS]]


def greedy(weights, table, state, memory, longest):
    """One replacement, token by token: argmax of eq. 6 until EOS."""
    tokens = [BOS]
    while len(tokens) <= longest:
        token = int(np.argmax(oracles.correction_logits(weights, tokens, state, memory, table, HEADS)[-1]))
        if token == EOS:
            break
        tokens.append(token)
    return tokens[1:]


@pytest.mark.parametrize(("bias", "lengths_seen"), [(0.0, {5}), (3.0, {0, 1, 5})], ids=["cut off", "ended by EOS"])
def test_parallel_decoding_equals_sequential(bias, lengths_seen):
    decoder, embeddings = built()
    with torch.no_grad():
        decoder.lm_head.bias[EOS] += bias
    lengths = [6, 5, 4, 3, 2, 6, 5, 4]
    states, memory, mask = errors(lengths)
    weights, table = oracles.weights_of(decoder), embeddings.weight.detach().numpy()
    expected = [
        greedy(weights, table, state.numpy(), row[:length].numpy(), decoder.max_length)
        for state, row, length in zip(states, memory, lengths, strict=True)
    ]
    assert decoder.generate(states, memory, mask, embeddings)[0] == expected
    assert {len(replacement) for replacement in expected} == lengths_seen


def test_generate_without_positions():
    decoder, embeddings = built()
    states, memory, mask = errors([4])
    assert decoder.generate(states[:0], memory[:0], mask[:0], embeddings)[0] == []
    logits = decoder(torch.zeros(0, 3, dtype=torch.long), states[:0], memory[:0], mask[:0], embeddings)
    assert logits.shape == (0, 3, VOCABULARY)


@pytest.mark.parametrize(
    ("tags", "corrections", "expected"),
    [
        ([KEEP, KEEP, KEEP, KEEP], {}, [11, 12]),
        ([KEEP, DELETE, KEEP, KEEP], {}, [12]),
        ([KEEP, CHANGE, DELETE, KEEP], {1: [21, 22, 23]}, [21, 22, 23]),
        ([KEEP, KEEP, CHANGE, KEEP], {2: [12, 31]}, [11, 12, 31]),
        ([CHANGE, KEEP, KEEP, KEEP], {0: [41]}, [41, 11, 12]),
        ([DELETE, CHANGE, CHANGE, CHANGE], {1: [], 2: [51]}, [51]),
    ],
    ids=["kept", "deleted", "replaced", "inserted after", "inserted before", "sentinels are no tokens"],
)
def test_apply_corrections(tags, corrections, expected):
    assert apply_corrections([BOS, 11, 12, EOS], tags, corrections) == expected
