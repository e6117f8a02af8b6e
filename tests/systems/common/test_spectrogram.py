"""Log-mel spectrograms: a Fourier transform by its sum, triangles by their corners, and no sample of padding."""

import math

import numpy as np
import torch

from m4ser.systems.common.spectrogram import log_mel_spectrogram


def mel(frequency):
    return 2595 * math.log10(1 + frequency / 700)


def triangle(frequency, corners):
    low, center, high = corners
    return max(0.0, min((frequency - low) / (center - low), (high - frequency) / (high - center)))


def derived(wave, num_mels):
    """The spectrogram of one recording in float64."""
    corners = np.linspace(mel(20), mel(8000), num_mels + 2)
    corners = 700 * (10 ** (corners / 2595) - 1)
    frequencies = np.arange(257) * 16_000 / 512
    bank = [
        [triangle(frequency, corners[index : index + 3]) for frequency in frequencies] for index in range(num_mels)
    ]
    angles = -2j * np.pi * np.outer(np.arange(257), np.arange(400)) / 512
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    rows = []
    for start in range(0, len(wave) - 399, 160):
        powers = np.abs(np.exp(angles) @ (wave[start : start + 400] * window)) ** 2
        rows.append(np.log10(np.array(bank) @ powers + 1e-5))
    return np.stack(rows)


def test_frames_of_a_recording():
    wave = np.random.default_rng(0).standard_normal(1000)
    found, mask = log_mel_spectrogram(torch.tensor(wave)[None], num_mels=20)
    np.testing.assert_allclose(found[0, mask[0]].numpy(), derived(wave, 20), atol=1e-4)
    assert mask.sum() == 4  # they begin at 0, 160, 320 and 480


def test_tone_is_in_its_band():
    wave = torch.sin(2 * math.pi * 1000 * torch.arange(800) / 16_000)
    found, _ = log_mel_spectrogram(wave[None], num_mels=20)
    centers = np.linspace(mel(20), mel(8000), 22)[1:-1]
    assert found[0, 0].argmax() == np.abs(centers - mel(1000)).argmin()


def test_padding_is_silence():
    waves = torch.randn(3, 900)
    lengths = torch.tensor([900, 700, 100])
    found, mask = log_mel_spectrogram(waves, (torch.arange(900) < lengths[:, None]).long())
    assert mask.sum(-1).tolist() == [4, 2, 1]
    for wave, length, row, valid in zip(waves, lengths, found, mask, strict=True):
        alone, one = log_mel_spectrogram(wave[None, :length])
        torch.testing.assert_close(row[valid], alone[0, one[0]])


def test_half_precision_around_it_changes_nothing():
    waves = 30 * torch.randn(1, 800)
    expected, _ = log_mel_spectrogram(waves)
    with torch.autocast("cpu", torch.bfloat16):
        found, _ = log_mel_spectrogram(waves)
    torch.testing.assert_close(found, expected, atol=0, rtol=0)
