"""The walk through a speech encoder against that encoder's own forward on each recording alone."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from m4ser import M4SERConfig, M4SERModel
from m4ser.model.speech_encoder_m4ser import (
    SpeechEncoder,
    _traced_group_norm,
    init_filterbank,
    masked_group_norm,
    receptive_field,
)
from tests.tiny import SPEECH_NORMS, collate, randomize, recordings, tiny_config

TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4}
SAMPLES = [1500, 1, 100, 399, 400, 719, 720]
FAMILY = ["hubert", "wav2vec2", "wavlm", "unispeech", "unispeech-sat"]


def encoder_of(norm="group", **overrides):
    return randomize(SpeechEncoder(tiny_config(norm, **overrides))).eval()


def alone(module, wave):
    """The library's own forward on one recording, silence after it where it is shorter than a frame."""
    wave = nn.functional.pad(torch.tensor(wave), (0, max(0, 400 - len(wave))))
    return module.projection(module.encoder(wave[None].to(module.projection.weight.dtype)).last_hidden_state)[0]


@torch.no_grad()
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("norm", SPEECH_NORMS)
def test_padding_does_not_change_frames(norm, dtype):
    module = encoder_of(norm).to(dtype)
    rows = recordings(SAMPLES, [2] * len(SAMPLES))
    batch = collate(rows, more_samples=300, dtype=dtype)
    frames, mask = module(batch["input_values"], batch["attention_mask"])
    assert mask.sum(-1).tolist() == [4, 1, 1, 1, 1, 1, 2]  # 400 samples, then one frame more every 320
    for row, recording in enumerate(rows):
        expected = alone(module, recording["wave"])
        torch.testing.assert_close(frames[row, : len(expected)], expected, rtol=0, atol=TOLERANCE[dtype])


@torch.no_grad()
@pytest.mark.parametrize("samples", [1, 399, 720])
def test_missing_mask_means_all_samples(samples):
    module, (row,) = encoder_of(), recordings([samples], [2])
    frames, mask = module(torch.tensor(row["wave"])[None].float())
    assert mask.all()
    torch.testing.assert_close(frames[0], alone(module, row["wave"]), rtol=0, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("model_type", FAMILY)
def test_wav2vec2_family(model_type):
    shape = tiny_config().speech_config.to_dict()
    shape = {
        name: shape[name] for name in shape if name.startswith(("conv_", "num_", "hidden_s", "intermediate", "feat_"))
    }
    module = encoder_of(speech_config={"model_type": model_type, **shape})
    rows = recordings([1500, 400, 720], [2, 2, 2])
    batch = collate(rows)
    frames, _ = module(batch["input_values"], batch["attention_mask"])
    for row, recording in enumerate(rows):
        expected = alone(module, recording["wave"])
        torch.testing.assert_close(frames[row, : len(expected)], expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("kernel", [masked_group_norm, _traced_group_norm])
@pytest.mark.parametrize("lengths", [[9, 4, 2], [9, 9, 9], [9]], ids=["padded", "full", "single item"])
def test_masked_group_norm_ignores_padding(lengths, kernel):
    norm = randomize(nn.GroupNorm(6, 6)).double()
    states = torch.randn(len(lengths), 6, 9, dtype=torch.float64)
    output = kernel(norm, states, torch.tensor(lengths))
    for row, length in enumerate(lengths):
        expected = norm(states[row : row + 1, :, :length])[0]
        torch.testing.assert_close(output[row, :, :length], expected, rtol=0, atol=1e-5)
        assert output[row, :, length:].eq(0).all()


@pytest.mark.parametrize(
    ("name", "samples"), [("base", 400), ("large", 400), ("tiny", 1360)], ids=["base", "large", "tiny"]
)
def test_receptive_field(name, samples):
    # tiny: 3 frames of its third layer, (3 - 1) * 2 + 3 = 7 of its second, (7 - 1) * 160 + 400 of its first.
    assert receptive_field(M4SERConfig.preset(name).speech_config) == samples


def test_filterbank_is_mel_spaced():
    weight = torch.zeros(20, 1, 400)
    init_filterbank(weight)
    assert torch.allclose(weight.square().sum(-1), torch.ones(20, 1))
    highest = 2595 * math.log10(1 + 8000 / 700)
    expected = [700 * (10 ** (highest * band / 11 / 2595) - 1) for band in range(1, 11)]
    spectrum = np.abs(np.fft.rfft(weight[:, 0].numpy(), 16000))  # one bin a Hz
    np.testing.assert_allclose(spectrum.argmax(-1), np.repeat(expected, 2), atol=25)


def test_new_model_starts_from_the_filterbank():
    model = M4SERModel(tiny_config(filterbank_init=True))
    first = model.speech_encoder.encoder.feature_extractor.conv_layers[0].conv.weight
    expected = torch.zeros_like(first)
    init_filterbank(expected)
    assert torch.equal(first, expected)
