"""Whisper's encoder as the speech encoder: waveforms to log-mel spectrograms to frames, in its own window of 30 s."""

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from transformers.audio_utils import mel_filter_bank

from .configuration_m4ser import EmotionConfig
from .speech_encoder_m4ser import SAMPLING_RATE, SpeechEncoder, frame_seconds

# Samples from a frame to the next, of a window of the spectrogram, and from one of these to the next.
FRAME, FFT, HOP = 320, 400, 160
LOUDEST_FREQUENCY = 8000.0  # Hz, of the last filter
FLOOR = 1e-10  # power under the logarithm
RANGE = 8.0  # powers of ten below a recording's loudest that are kept


class WhisperSpeechEncoder(SpeechEncoder):
    """H_S of Whisper (Radford et al. 2023): waveforms (B, samples) to frames (B, m, d), 50 a second.

    Whisper encodes a window of 30 s, silence behind a shorter recording, without a mask: a recording of 3 s costs as
    much as one of 30 s, and a longer one is refused. The frames are those of the recording; what Whisper makes of the
    silence behind it is cut off, and given by [`encode_window`] to its decoder alone. Hidden states and attention maps
    are of the whole window.
    """

    def build(self, speech_config: Any) -> None:
        # Not at the top: it takes a third of a second, which other encoders need not wait for.
        from transformers.models.whisper.modeling_whisper import WhisperEncoder

        self.encoder = WhisperEncoder(speech_config)
        self.receptive_field = 1  # silence follows, so that any recording has a frame
        self.frame_seconds = frame_seconds(speech_config)
        self.window = speech_config.max_source_positions * FRAME

    def init_filterbank(self) -> None:
        """Leave the first convolution as it is: it takes a spectrogram, which has gone through a bank of filters."""

    def set_encoder(self, encoder: Any) -> None:
        """Take the encoder of this `WhisperModel`."""
        self.encoder = encoder.encoder

    @property
    def layers(self) -> Sequence[Any]:
        return self.encoder.layers

    @property
    def attention_modules(self) -> Sequence[nn.Module]:
        return [layer.self_attn for layer in self.encoder.layers]

    def encode(self, input_values: torch.Tensor, attention_mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the encoder's own frames (B, m, d_S) and frame_mask (B, m).

        Raises:
            ValueError: a recording is longer than the window.
        """
        return self.valid_frames(self.encode_window(input_values, attention_mask), attention_mask)

    def encode_window(self, input_values: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Return the encoder's output (B, 1500, d_S) of the whole window, as Whisper's decoder takes it.

        Raises:
            ValueError: a recording is longer than the window.
        """
        if not torch.compiler.is_compiling() and (longest := int(attention_mask.sum(-1).max())) > self.window:
            raise ValueError(
                f"Whisper encodes {self.window / SAMPLING_RATE:g} s, and a recording has {longest / SAMPLING_RATE:g}: "
                "cut it, or predict a timeline of windows."
            )
        samples = input_values.float() * attention_mask
        features = log_mel(F.pad(samples, (0, self.window))[:, : self.window], self.encoder.num_mel_bins)
        if self.training:
            features = self._mask_features(features, attention_mask)
        return self.encoder(features.to(self.encoder.conv1.weight.dtype)).last_hidden_state

    def valid_frames(self, window: torch.Tensor, attention_mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Cut the frames (B, 1500, d_S) of [`encode_window`] to those of the batch; return them and their mask."""
        # A graph that is traced takes recordings of all lengths: there, what is behind them is masked alone.
        count = window.shape[1] if torch.compiler.is_compiling() else -(-attention_mask.shape[-1] // FRAME)
        frames = window[:, :count]
        positions = torch.arange(frames.shape[1], device=frames.device)
        return frames, positions < self.frame_lengths(attention_mask)[:, None]

    def frame_lengths(self, attention_mask: torch.Tensor, precomputed: bool = False) -> torch.Tensor:
        lengths = attention_mask.sum(-1)
        return lengths if precomputed else (lengths.clamp(min=1) + FRAME - 1) // FRAME

    def _mask_features(self, features: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Apply the library's SpecAugment to spectrograms (B, mels, steps), where the encoder's config has it on."""
        from transformers import WhisperModel

        steps = torch.arange(features.shape[-1], device=features.device)
        mask: Any = (steps * HOP < attention_mask.sum(-1, keepdim=True)).long()
        return WhisperModel._mask_input_features(self.encoder, features, mask)


def make_speech_encoder(config: EmotionConfig) -> SpeechEncoder:
    """Return the speech encoder of a config's `speech_config`, its weights at random."""
    return WhisperSpeechEncoder(config) if has_whisper(config) else SpeechEncoder(config)


def has_whisper(config: EmotionConfig) -> bool:
    """Tell whether a network's speech encoder is Whisper's."""
    return "speech" in config.modalities and config.speech_config.model_type == "whisper"


def longest_seconds(config: EmotionConfig) -> float:
    """Return the longest recording that a network encodes, in seconds; infinity where nothing limits it."""
    return config.speech_config.max_source_positions * FRAME / SAMPLING_RATE if has_whisper(config) else math.inf


def log_mel(waveforms: torch.Tensor, bins: int) -> torch.Tensor:
    """Return the log-mel spectrograms (B, bins, steps) of waveforms (B, samples), as `WhisperFeatureExtractor` does.

    Each is limited to 80 dB below its own loudest point, so that no other recording of the batch changes it.
    """
    # In half precision, nothing would be left of what is soft.
    with torch.autocast(waveforms.device.type, enabled=False):
        window = torch.hann_window(FFT, device=waveforms.device)
        spectrum = torch.stft(waveforms, FFT, HOP, window=window, return_complex=True)[..., :-1]
        power = torch.view_as_real(spectrum).square().sum(-1)
        filters = torch.from_numpy(mel_filters(bins)).to(waveforms.device)
        levels = (filters @ power).clamp(min=FLOOR).log10()
        levels = torch.maximum(levels, levels.amax((1, 2), keepdim=True) - RANGE)
        return (levels + 4.0) / 4.0


@cache
def mel_filters(bins: int) -> np.ndarray:
    """Return Whisper's filters (bins, frequencies), float32."""
    filters = mel_filter_bank(
        num_frequency_bins=1 + FFT // 2,
        num_mel_filters=bins,
        min_frequency=0.0,
        max_frequency=LOUDEST_FREQUENCY,
        sampling_rate=SAMPLING_RATE,
        norm="slaney",
        mel_scale="slaney",
    )
    return np.ascontiguousarray(filters.T, np.float32)
