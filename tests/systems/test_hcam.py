"""HCAM without its dialogue stage on tiny encoders: the whole network and its losses, re-derived in numpy."""

import numpy as np
import pytest
import torch

from m4ser.systems.hcam import HCAMConfig, HCAMModel
from tests.systems.derivation import array, attention, attention_pooling, cross_entropy, encoded_rows, linear, norm
from tests.tiny import HEADS, WIDTH, collate, plain_inputs, randomize, recordings, tiny_config

SIZES = {"hidden_size": WIDTH, "num_attention_heads": HEADS, "intermediate_size": 36}


def config(**fields):
    encoders = tiny_config()
    return HCAMConfig(speech_config=encoders.speech_config, text_config=encoders.text_config, **SIZES, **fields)


@pytest.fixture
def model():
    torch.manual_seed(0)
    fields = {"co_attention_layers": 2, "unimodal_weight": 0.5, "contrastive_temperature": 0.3}
    return randomize(HCAMModel(config(**fields))).double().eval()


@pytest.fixture
def batch():
    return collate(recordings((4000, 2500, 6000), (7, 4, 9)), dtype=torch.float64)


def gru(direction, rows, order):
    """One direction of Cho et al. 2014 in PyTorch's form, step by step."""
    names = "weight_ih", "weight_hh", "bias_ih", "bias_hh"
    weights = [array(getattr(direction, f"{name}_l0")) for name in names]
    state, found = np.zeros(direction.hidden_size), {}
    for step in order:
        into = np.split(weights[0] @ rows[step] + weights[2], 3)
        back = np.split(weights[1] @ state + weights[3], 3)
        reset, update = (1 / (1 + np.exp(-into[gate] - back[gate])) for gate in (0, 1))
        state = (1 - update) * np.tanh(into[2] + reset * back[2]) + update * state
        found[step] = state
    return np.stack([found[step] for step in range(len(rows))])


def attend(block, queries, memory):
    """Three heads, what they give added to the queries."""
    projected = linear(block.query, queries), linear(block.key, memory), linear(block.value, memory)
    return norm(block.norm, queries + linear(block.output, attention(*projected, 3)))


def derive(model, speech, text):
    """Both unimodal embeddings, both fused ones, and the logits of one utterance's frames and token states."""
    steps = range(len(text))
    directions = gru(model.text_gru.forwards, text, steps), gru(model.text_gru.backwards, text, reversed(steps))
    text = linear(model.text_projection, np.concatenate(directions, -1))
    unimodal = attention_pooling(model.speech_pooling, speech), attention_pooling(model.text_pooling, text)
    for layer in model.co_attention:
        crossed_text = attend(layer.text_to_frames, text, speech)
        crossed_speech = attend(layer.speech_to_tokens, speech, text)
        text = attend(layer.text_self, crossed_text, crossed_text)
        speech = attend(layer.speech_self, crossed_speech, crossed_speech)
    fused_speech = speech.mean(0) + linear(model.speech_residual, unimodal[0])
    fused_text = text.mean(0) + linear(model.text_residual, unimodal[1])
    both = norm(model.fusion_norm, np.concatenate([fused_text, fused_speech]))
    logits = linear(model.classifier, np.maximum(linear(model.fusion, both), 0))
    return unimodal, (fused_speech, fused_text), logits


@pytest.fixture
def derived(model, batch):
    return [derive(model, *row) for row in encoded_rows(model, plain_inputs(batch))]


def test_logits(model, batch, derived):
    expected = np.stack([logits for _, _, logits in derived])
    np.testing.assert_allclose(array(model(**plain_inputs(batch)).logits), expected, atol=1e-9)


def test_unimodal_loss(model, batch, derived):
    labels = batch["labels"]
    found = model(**plain_inputs(batch), labels=labels).auxiliary_losses["unimodal"]
    for ((speech, text), _, _), label, loss in zip(derived, labels.tolist(), found.tolist(), strict=True):
        expected = cross_entropy(linear(model.speech_classifier, speech), label)
        expected += cross_entropy(linear(model.text_classifier, text), label)
        assert loss == pytest.approx(0.5 * expected, rel=1e-5)


def test_contrastive_loss_takes_modalities_as_samples(model, batch, derived):
    """Weight 2; an utterance's own other modality is a positive, so every anchor has one."""
    labels = [0, 1, 0]
    output = model(**plain_inputs(batch), labels=torch.tensor(labels))
    vectors = [fused[modality] for modality in (0, 1) for _, fused, _ in derived]
    vectors = [vector / np.linalg.norm(vector) for vector in vectors]
    total = 0.0
    for anchor, vector in enumerate(vectors):
        raised = {other: np.exp(vector @ vectors[other] / 0.3) for other in range(6) if other != anchor}
        positives = [value for other, value in raised.items() if labels[other % 3] == labels[anchor % 3]]
        total -= np.mean(np.log(positives) - np.log(sum(raised.values())))
    assert output.auxiliary_losses["supervised_contrastive"].item() == pytest.approx(2 * total / 6, rel=1e-5)


def test_heads_have_to_divide_the_width():
    with pytest.raises(ValueError, match=r"co_attention_size \(120\) must be a multiple of co_attention_heads \(7\)"):
        config(co_attention_heads=7)
