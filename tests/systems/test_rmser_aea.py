"""RMSER-AEA on tiny encoders: trust from error detection mixes text and speech token by token, re-derived in numpy."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from m4ser.losses import WEIGHT_SYMBOLS, LossInputs, compute_losses
from m4ser.systems.rmser_aea import RMSERAEAConfig, RMSERAEAModel
from tests.systems.derivation import array, cross_modal_encoder, encoded_rows, linear, softmax
from tests.tiny import HEADS, WIDTH, collate, plain_inputs, randomize, recordings, tiny_config

OPTIONS = SimpleNamespace(**dict.fromkeys(WEIGHT_SYMBOLS, 0.0), temperature=0.07, contrastive_include_self=False)


@pytest.fixture
def model():
    encoders = tiny_config()
    sizes = {"hidden_size": WIDTH, "num_attention_heads": HEADS, "intermediate_size": 36}
    torch.manual_seed(0)
    config = RMSERAEAConfig(speech_config=encoders.speech_config, text_config=encoders.text_config, **sizes)
    return randomize(RMSERAEAModel(config)).double().eval()


@pytest.fixture
def batch():
    return collate(recordings((4000, 2500), (7, 4)), dtype=torch.float64)


def test_trust_mixes_text_and_speech(model, batch):
    inputs = plain_inputs(batch)
    expected = []
    for speech, text in encoded_rows(model, inputs):
        attended = cross_modal_encoder(model.text_query_cme, text, speech)
        trust = softmax(linear(model.error_detector, text))[:, 0]
        mixed = [
            weight * word + (1 - weight) * sound for weight, word, sound in zip(trust, text, attended, strict=True)
        ]
        assert trust.max() - trust.min() > 0.01
        expected.append(np.concatenate([np.mean(mixed, 0), speech.mean(0)]))
    found = model(**inputs)
    np.testing.assert_allclose(array(found.embeddings), np.stack(expected), atol=1e-6)
    np.testing.assert_allclose(array(found.logits), linear(model.classifier, np.stack(expected)), atol=1e-6)


@pytest.mark.parametrize("trusted", [True, False])
def test_certain_detection_takes_one_of_them(model, batch, trusted):
    torch.nn.init.zeros_(model.error_detector.weight)
    model.error_detector.bias.data = torch.tensor([99.0, 0, 0] if trusted else [0, 0, 99.0]).double()
    inputs = plain_inputs(batch)
    for (speech, text), found in zip(encoded_rows(model, inputs), model(**inputs).embeddings, strict=True):
        expected = text if trusted else cross_modal_encoder(model.text_query_cme, text, speech)
        np.testing.assert_allclose(array(found[:WIDTH]), expected.mean(0), atol=1e-6)


def test_detection_is_trained_by_its_labels(model, batch):
    output = model(**plain_inputs(batch), labels=batch["labels"])
    loss = compute_losses(LossInputs(output, batch, OPTIONS))["error_detection"]
    tagged = [
        (row, step) for row, step in np.ndindex(*batch["aed_labels"].shape) if batch["aed_labels"][row, step] >= 0
    ]
    chances = [softmax(array(output.aed_logits[at]))[batch["aed_labels"][at]] for at in tagged]
    assert loss.item() == pytest.approx(-np.mean(np.log(chances)), rel=1e-5)
    loss.backward()
    assert model.error_detector.weight.grad.any() and model.text_query_cme.attention.query.weight.grad is None


def test_emotion_loss_trains_detection_too(model, batch):
    model(**plain_inputs(batch), labels=batch["labels"]).loss.backward()
    assert model.error_detector.weight.grad.any()
