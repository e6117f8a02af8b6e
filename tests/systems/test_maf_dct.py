"""MAF-DCT on tiny encoders: a spectral view of the waveform beside the frames, re-derived in numpy."""

import numpy as np
import pytest
import torch

from m4ser.systems.common.spectrogram import log_mel_spectrogram
from m4ser.systems.maf_dct import MAFDCTConfig, MAFDCTModel
from tests.systems.derivation import array, cross_entropy, cross_modal_encoder, encoded_rows, gelu, linear, lstm
from tests.tiny import HEADS, WIDTH, collate, plain_inputs, randomize, recordings, tiny_config

SIZES = {"hidden_size": WIDTH, "num_attention_heads": HEADS, "intermediate_size": 36}


def config(**fields):
    encoders = tiny_config()
    return MAFDCTConfig(speech_config=encoders.speech_config, text_config=encoders.text_config, **SIZES, **fields)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return randomize(MAFDCTModel(config(num_mels=20, unimodal_weight=0.5))).double().eval()


@pytest.fixture
def batch():
    return collate(recordings((4000, 2500, 380), (7, 4, 9)), dtype=torch.float64)


def halved(convolution, rows):
    """A convolution of three steps at every other step, with a zero before the first and behind the last."""
    weight, found = array(convolution.weight), []
    for step in range(0, len(rows), 2):
        terms = [weight[:, :, tap] @ rows[step + tap - 1] for tap in range(3) if 0 <= step + tap - 1 < len(rows)]
        found.append(sum(terms) + array(convolution.bias))
    return gelu(np.stack(found))


def spectral_states(encoder, wave):
    mels, mask = log_mel_spectrogram(wave[None], num_mels=20)
    states = array(mels[0, mask[0]]).astype(float)
    for convolution in encoder.convolutions:
        states = halved(convolution, states)
    return linear(encoder.projection, lstm(encoder.lstm.layers[0], states))


def both_ways(transformer, text, speech):
    """Each attending to the other, and their means over time."""
    attended = (
        cross_modal_encoder(transformer.text_query_cme, text, speech),
        cross_modal_encoder(transformer.speech_query_cme, speech, text),
    )
    return [states.mean(0) for states in attended]


@pytest.fixture
def derived(model, batch):
    """The embedding of each recording, and its means over time of text and of both acoustic features."""
    found = []
    inputs = plain_inputs(batch)
    lengths = inputs["attention_mask"].sum(-1)
    for (speech, text), wave, length in zip(encoded_rows(model, inputs), inputs["input_values"], lengths, strict=True):
        spectral = spectral_states(model.spectral_encoder, wave[:length])
        fused = both_ways(model.ssl_transformer, text, speech) + both_ways(model.spectral_transformer, text, spectral)
        found.append((np.concatenate(fused), text.mean(0), np.concatenate([speech.mean(0), spectral.mean(0)])))
    return found


def test_embeddings(model, batch, derived):
    found = model(**plain_inputs(batch)).embeddings
    np.testing.assert_allclose(array(found), np.stack([embedding for embedding, _, _ in derived]), atol=1e-5)


def test_blended_loss(model, batch, derived):
    found = model(**plain_inputs(batch), labels=batch["labels"]).auxiliary_losses["unimodal"]
    for (_, text, acoustic), label, loss in zip(derived, batch["labels"].tolist(), found.tolist(), strict=True):
        expected = cross_entropy(linear(model.text_classifier, text), label)
        expected += cross_entropy(linear(model.speech_classifier, acoustic), label)
        assert loss == pytest.approx(0.5 * expected, rel=1e-4)


def test_spectrum_is_seen_beside_the_frames(model, batch, monkeypatch):
    """The logits change where the frames cannot."""
    inputs = plain_inputs(batch)
    frames = model.encode_speech(inputs["input_values"], inputs["attention_mask"])
    monkeypatch.setattr(model, "encode_speech", lambda *_: frames)
    expected = model(**inputs).logits
    inputs["input_values"] = inputs["input_values"].roll(1, 0)
    assert (model(**inputs).logits - expected).abs().min() > 1e-6


def test_no_mels_are_refused():
    with pytest.raises(ValueError, match="num_mels is a whole number above 0, not 0"):
        config(num_mels=0)
