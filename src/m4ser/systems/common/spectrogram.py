"""Log-mel spectrograms of waveforms at 16 kHz, which depend on no padding and are part of an exported graph."""

import torch
import torch.nn.functional as F
from transformers.audio_utils import mel_filter_bank

SAMPLING_RATE = 16_000
WINDOW, HOP, POINTS = 400, 160, 512  # samples: 25 ms, 10 ms, and those of the Fourier transform
LOWEST_FREQUENCY = 20.0  # Hz
FLOOR = 1e-5  # power, of waveforms of unit variance


def log_mel_spectrogram(
    waveforms: torch.Tensor, attention_mask: torch.Tensor | None = None, num_mels: int = 80
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return log10 of mel powers (B, f, num_mels), float32, and their mask (B, f), bool.

    A recording shorter than a window is taken as if silence followed it.

    Args:
        waveforms: (B, samples). attention_mask: (B, samples), 1 on samples and 0 on right padding.
    """
    if attention_mask is None:
        attention_mask = torch.ones_like(waveforms)
    # Whatever the batch holds, a few frames more, as torch.export supposes.
    samples = F.pad(waveforms.float() * attention_mask, (0, WINDOW + 4 * HOP))
    bank = mel_filter_bank(POINTS // 2 + 1, num_mels, LOWEST_FREQUENCY, SAMPLING_RATE / 2, SAMPLING_RATE)
    with torch.autocast(samples.device.type, enabled=False):  # powers overflow in half precision
        frames = samples.unfold(-1, WINDOW, HOP) * torch.hann_window(WINDOW, device=samples.device)
        powers = torch.fft.rfft(frames, n=POINTS).abs().square()
        mels = powers @ torch.from_numpy(bank).to(powers)
    counts = (attention_mask.sum(-1).clamp(min=WINDOW) - WINDOW) // HOP + 1
    mask = torch.arange(mels.shape[1], device=mels.device) < counts[:, None]
    return (mels + FLOOR).log10(), mask
