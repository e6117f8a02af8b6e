"""MLCCT on tiny encoders: circulant interaction, two residual streams and their fusion, re-derived in numpy."""

import numpy as np
import pytest
import torch

from m4ser.systems.mlcct import MLCCTConfig, MLCCTModel, circulant
from tests.systems.derivation import array, cross_modal_encoder, encoded_rows, linear, lstm, norm
from tests.tiny import HEADS, WIDTH, collate, plain_inputs, randomize, recordings, tiny_config

SIZES = {"hidden_size": WIDTH, "num_attention_heads": HEADS, "intermediate_size": 36}


def config(**fields):
    encoders = tiny_config()
    return MLCCTConfig(speech_config=encoders.speech_config, text_config=encoders.text_config, **SIZES, **fields)


def test_circulant_matrix():
    expected = [[[1, 2, 3], [3, 1, 2], [2, 3, 1]], [[4, 5, 6], [6, 4, 5], [5, 6, 4]]]
    assert circulant(torch.tensor([[1, 2, 3], [4, 5, 6]])).tolist() == expected


def convolved(first, second):
    """Around the circle of the features, term by term."""
    width = len(first)
    return np.array([sum(first[i] * second[(j - i) % width] for i in range(width)) for j in range(width)])


def interact(rows, other):
    """Each step, and what it and the other modality's mean give, by the root of the width."""
    return np.stack([row + convolved(row, other.mean(0)) / np.sqrt(WIDTH) for row in rows])


def derive(model, speech, text):
    low, high = model.low_level, model.high_level
    speech = linear(low.speech_projection, lstm(low.speech_lstm.layers[0], speech))
    text = linear(low.text_projection, lstm(low.text_lstm.layers[0], text))
    speech, text = norm(low.speech_norm, interact(speech, text)), norm(low.text_norm, interact(text, speech))
    states = speech, text
    for speech_layer, text_layer in zip(high.speech_layers, high.text_layers, strict=True):
        states = cross_modal_encoder(speech_layer, *states), cross_modal_encoder(text_layer, *states[::-1])
    both = np.concatenate([speech + states[0], text + states[1]])
    fused = cross_modal_encoder(model.fusion, both, both)
    return np.concatenate([fused[: len(speech)].mean(0), fused[len(speech) :].mean(0)])


def test_embeddings():
    torch.manual_seed(0)
    model = randomize(MLCCTModel(config())).double().eval()
    inputs = plain_inputs(collate(recordings((4000, 2500), (7, 4)), dtype=torch.float64))
    expected = [derive(model, *row) for row in encoded_rows(model, inputs)]
    found = model(**inputs)
    np.testing.assert_allclose(array(found.embeddings), expected, atol=1e-9)
    np.testing.assert_allclose(array(found.logits), linear(model.classifier, np.stack(expected)), atol=1e-9)


def test_no_cross_modal_layer_is_refused():
    with pytest.raises(ValueError, match="cross_modal_layers is a whole number above 0, not 0"):
        config(cross_modal_layers=0)
