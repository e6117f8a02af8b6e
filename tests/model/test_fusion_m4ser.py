"""Eq. 8 to 17 against plain loops, row by row and unpadded, where the module sees one padded batch.

Tolerances: 1e-9 in float64, 1e-4 in float32, 0.1 in bfloat16 (8 bits of mantissa through three layers; outputs of
about 1).
"""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from m4ser.model.fusion_m4ser import (
    CrossModalEncoder,
    HybridModalAttention,
    InvariantGenerator,
    MultimodalFusion,
    masked_mean,
    resample,
)
from tests import oracles
from tests.tiny import HEADS, WIDTH, randomize, tiny_config

TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4, torch.bfloat16: 0.1}
dtypes = pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
# Frames m and tokens n of each row.
SHAPES = {
    "more frames than tokens": ([9, 4, 7], [5, 3, 2]),
    "more tokens than frames": ([2, 1], [6, 3]),
    "as many": ([4, 2], [4, 2]),
    "single item": ([5], [3]),
    "one frame, one token": ([1], [1]),
}
shapes = pytest.mark.parametrize(("frames", "tokens"), SHAPES.values(), ids=SHAPES)


def built(module_class, dtype=torch.float64, **overrides):
    module = randomize(module_class(tiny_config(**overrides))).eval().to(dtype)
    return module, oracles.weights_of(module)


def padded(lengths, seed=0):
    """(B, longest, d) with noise in the padding, and the mask."""
    generator = torch.Generator().manual_seed(seed)
    states = torch.randn(len(lengths), max(lengths), WIDTH, generator=generator, dtype=torch.float64)
    return states, torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]


def rows(states, lengths):
    return [row[:length].numpy() for row, length in zip(states, lengths, strict=True)]


def check(output, expected, tolerance=1e-9):
    """`output` (B, m, d), padded; `expected`, a row each, not padded."""
    for row, values in zip(output.detach().double().numpy(), expected, strict=True):
        np.testing.assert_allclose(row[: len(values)], values, rtol=0, atol=tolerance)


@shapes
def test_cross_modal_encoder(frames, tokens):
    module, weights = built(CrossModalEncoder)
    (speech, _), (text, text_mask) = padded(frames), padded(tokens, seed=1)
    pairs = zip(rows(speech, frames), rows(text, tokens), strict=True)
    check(module(speech, text, text_mask), [oracles.cross_modal_encoder(weights, *pair, HEADS) for pair in pairs])


@pytest.mark.parametrize("frames", [[6, 2, 4], [1]], ids=["padded", "one frame"])
def test_hybrid_modal_attention(frames):
    module, weights = built(HybridModalAttention)
    (specific, mask), (combined, _) = padded(frames), padded(frames, seed=1)
    pairs = zip(rows(specific, frames), rows(combined, frames), strict=True)
    expected = [oracles.hybrid_modal_attention(weights, *pair, HEADS) for pair in pairs]
    check(module(specific, combined, mask), expected)


@pytest.mark.parametrize("frames", [[6, 2, 4], [1]], ids=["padded", "one frame"])
def test_invariant_generator(frames):
    module, weights = built(InvariantGenerator)
    streams, (_, mask) = [padded(frames, seed)[0] for seed in range(3)], padded(frames)
    each_row = zip(*(rows(stream, frames) for stream in streams), strict=True)
    expected = [oracles.invariant(weights, *row, HEADS) for row in each_row]
    check(module(*streams, mask), expected)


@dtypes
@shapes
@pytest.mark.parametrize("specific", [True, False])
@pytest.mark.parametrize("invariant", [True, False])
def test_fusion(frames, tokens, specific, invariant, dtype):
    switched_on = [name for name, on in (("specific", specific), ("invariant", invariant)) if on]
    module, weights = built(MultimodalFusion, dtype, representations=switched_on)
    (speech, frame_mask), (text, text_mask) = padded(frames), padded(tokens, seed=1)
    streams = module(speech.to(dtype), text.to(dtype), frame_mask, text_mask)
    pairs = zip(rows(speech, frames), rows(text, tokens), strict=True)
    expected = [oracles.fusion(weights, *pair, HEADS, specific, invariant) for pair in pairs]
    assert list(streams) == list(expected[0])
    for name, stream in streams.items():
        check(stream, [row[name] for row in expected], TOLERANCE[dtype])


@dtypes
@shapes
def test_resample_against_interpolate(frames, tokens, dtype):
    (text, text_mask), (_, frame_mask) = padded(tokens), padded(frames)
    output = resample(text.to(dtype), text_mask, frame_mask)
    expected = [
        F.interpolate(row[:n].T[None], size=m, mode="linear", align_corners=False)[0].T.numpy()
        for row, n, m in zip(text, tokens, frames, strict=True)
    ]
    check(output, expected, TOLERANCE[dtype])
    check(
        output, [oracles.resample(row, m) for row, m in zip(rows(text, tokens), frames, strict=True)], TOLERANCE[dtype]
    )


def test_resample_keeps_positions_in_bfloat16():
    """A ramp over 500 tokens, stretched over 1,500 frames: bfloat16 could not count the frames."""
    ramp = torch.linspace(0, 1, 500)[None, :, None].to(torch.bfloat16)
    output = resample(ramp, torch.ones(1, 500, dtype=torch.bool), torch.ones(1, 1500, dtype=torch.bool))
    torch.testing.assert_close(output[0, :, 0].float(), torch.linspace(0, 1, 1500), rtol=0, atol=6e-3)


def test_masked_mean():
    states, mask = padded([4, 1])
    expected = [row.mean(0) for row in rows(states, [4, 1])]
    np.testing.assert_allclose(masked_mean(states, mask).numpy(), expected, rtol=0, atol=1e-12)


def test_masked_mean_without_valid_steps_is_zero():
    assert masked_mean(torch.ones(1, 3, 2), torch.zeros(1, 3, dtype=torch.bool)).eq(0).all()
