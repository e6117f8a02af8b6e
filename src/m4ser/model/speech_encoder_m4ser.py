"""Speech in, frames out: an encoder of the wav2vec 2.0 family whose output does not depend on the padding."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from transformers import AutoModel, PreTrainedConfig, PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from .configuration_m4ser import EmotionConfig

SAMPLING_RATE = 16_000
PARTS = {"feature_extractor", "feature_projection", "encoder"}


class SpeechEncoder(nn.Module):
    """H_S of Sec. III-B: waveforms (B, samples) to frames (B, m, d).

    The encoder's own forward is walked through here step by step, because one step of it looks at padding: the
    GroupNorm of HuBERT-base and wav2vec2-base averages over all samples of the batch's longest recording. Here its
    statistics come from each row's valid samples.

    Raises:
        ValueError: an encoder that this walk would not run as its own forward does.
    """

    encoder: Any  # a PreTrainedModel of the family, whose parts have no common type

    def __init__(self, config: EmotionConfig):
        super().__init__()
        self.build(config.speech_config)
        speech_size = config.speech_config.hidden_size
        self.projection = (
            nn.Linear(speech_size, config.hidden_size) if speech_size != config.hidden_size else nn.Identity()
        )

    def build(self, speech_config: PreTrainedConfig) -> None:
        """Build the encoder at random, and note what a frame is made of."""
        encoder = AutoModel.from_config(speech_config)
        check_speech_encoder(encoder)
        self.set_encoder(encoder)
        self.receptive_field = receptive_field(speech_config)
        self.frame_seconds = frame_seconds(speech_config)

    def init_filterbank(self) -> None:
        """Start the first convolution as a bank of filters."""
        init_filterbank(self.encoder.feature_extractor.conv_layers[0].conv.weight)

    def set_encoder(self, encoder: PreTrainedModel) -> None:
        """Take this encoder. A GroupNorm in it looks at valid samples alone from then on."""
        self.encoder = encoder
        layers = self.encoder.feature_extractor.conv_layers
        for index, layer in enumerate(layers):
            if isinstance(getattr(layer, "layer_norm", None), nn.GroupNorm):
                layers[index] = GroupNormConvLayer(layer)

    @property
    def layers(self) -> Sequence[Any]:
        """The encoder's transformer layers."""
        return self.encoder.encoder.layers

    @property
    def attention_modules(self) -> Sequence[nn.Module]:
        """The self-attention of each."""
        return [layer.attention for layer in self.layers]

    def forward(
        self,
        input_values: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        speech_hidden_states: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Encode waveforms, or project the frames that [`encode`] gave before, so that it need not run again.

        Args:
            input_values (B, samples), attention_mask (B, samples) with 1 on samples and 0 on right padding.
            speech_hidden_states (B, m, d_S): precomputed frames, whose `attention_mask` is (B, m).

        Returns:
            frames (B, m, d) and frame_mask (B, m), bool.
        """
        inputs = input_values if speech_hidden_states is None else speech_hidden_states
        assert inputs is not None  # the model refuses a call without either
        if attention_mask is None:
            attention_mask = torch.ones(inputs.shape[:2], dtype=torch.long, device=inputs.device)
        if speech_hidden_states is not None:
            return self.projection(speech_hidden_states), attention_mask.bool()
        hidden_states, frame_mask = self.encode(inputs, attention_mask)
        return self.projection(hidden_states), frame_mask

    def encode(self, input_values: torch.Tensor, attention_mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the encoder's own frames (B, m, d_S), of its width, and frame_mask (B, m).

        A recording shorter than one frame is taken as if silence followed it, so that it still has one frame.
        """
        lengths = self._sample_lengths(attention_mask)
        input_values = input_values * attention_mask.to(input_values.dtype)
        input_values = F.pad(input_values, (0, max(0, self.receptive_field - input_values.shape[-1])))

        features = self._extract_features(input_values, lengths).transpose(1, 2)
        frames = self.encoder._get_feat_extract_output_lengths(lengths)
        frame_mask = torch.arange(features.shape[1], device=features.device) < frames[:, None]
        hidden_states = self.encoder.feature_projection(features)
        if isinstance(hidden_states, tuple):  # all of the family but HuBERT return their normalized input too
            hidden_states = hidden_states[0]
        # The library's SpecAugment, for training, raises where a recording is shorter than one of its spans.
        if self.training and hidden_states.shape[1] > self.encoder.config.mask_time_length:
            hidden_states = self.encoder._mask_hidden_states(hidden_states, attention_mask=frame_mask.long())
        with silent_padding(self.encoder.encoder.pos_conv_embed, frame_mask):
            hidden_states = self.encoder.encoder(hidden_states, attention_mask=frame_mask).last_hidden_state
        return hidden_states, frame_mask

    def frame_lengths(self, attention_mask: torch.Tensor, precomputed: bool = False) -> torch.Tensor:
        """Return how many frames [`forward`] gives for each row, (B,).

        `attention_mask` is (B, samples), or (B, m) of `precomputed` frames.
        """
        if precomputed:
            return attention_mask.sum(-1)
        return self.encoder._get_feat_extract_output_lengths(self._sample_lengths(attention_mask))

    def _sample_lengths(self, attention_mask: torch.Tensor) -> torch.Tensor:
        return attention_mask.sum(-1).clamp(min=self.receptive_field)

    def _extract_features(self, input_values: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        hidden_states = input_values[:, None]
        layers = self.encoder.feature_extractor.conv_layers
        if self.training and getattr(layers[0], "gradient_checkpointing", False):
            # A reentrant checkpoint gives its weights gradients only where its input has one.
            hidden_states.requires_grad_(hidden_states.requires_grad or next(layers.parameters()).requires_grad)
        for layer in layers:
            grouped = isinstance(layer, GroupNormConvLayer)
            hidden_states = layer(hidden_states, lengths) if grouped else layer(hidden_states)
        return hidden_states


class GroupNormConvLayer(GradientCheckpointingLayer):
    """The first layer of HuBERT-base and its like, with the statistics of its GroupNorm over valid samples alone."""

    def __init__(self, layer: Any):
        """Take the modules of `layer`, so that its weights keep their names."""
        super().__init__()
        self.conv: nn.Conv1d = layer.conv
        self.layer_norm: nn.GroupNorm = layer.layer_norm
        self.activation: nn.Module = layer.activation

    def forward(self, hidden_states: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """Return features (B, C, T) of waveforms (B, 1, samples); without `lengths` (B,) all samples are valid."""
        hidden_states = self.conv(hidden_states)
        if lengths is None:
            return self.activation(self.layer_norm(hidden_states))
        valid = (lengths - self.conv.kernel_size[0]) // self.conv.stride[0] + 1
        return self.activation(masked_group_norm(self.layer_norm, hidden_states, valid))


def check_speech_encoder(encoder: Any) -> None:
    """Refuse what [`SpeechEncoder`] cannot walk through, by the encoder's structure.

    Raises:
        ValueError: it takes spectrograms, has other parts than the wav2vec 2.0 family, or mixes padding into frames.
    """
    parts = {name for name, _ in encoder.named_children()}
    if encoder.main_input_name != "input_values":
        reason = f"it takes {encoder.main_input_name}, not samples"
    elif parts != PARTS:
        reason = f"its parts are {', '.join(sorted(parts))}, not {', '.join(sorted(PARTS))}"
    elif any(isinstance(module, nn.Conv1d) for module in encoder.encoder.layers.modules()):
        reason = "the convolutions in its layers run over the padding of a batch"
    else:
        return
    raise ValueError(
        f"{encoder.config.model_type} cannot be the speech encoder: {reason}; choose one of the wav2vec 2.0 family, "
        "such as HuBERT, wav2vec 2.0, WavLM, Data2Vec-audio, UniSpeech or UniSpeech-SAT, or Whisper."
    )


@contextmanager
def silent_padding(position_embedding: nn.Module, frame_mask: torch.Tensor) -> Iterator[None]:
    """Feed, within this context, zeros behind a row's last frame to each convolution of a position embedding.

    Where it is the first to look at the frames, as in HuBERT, the encoder does so by itself. Data2Vec-audio stacks
    several and mHuBERT normalizes before it: what they leave behind the last frame would flow back into the row.
    """
    inner = [module for module in position_embedding.modules() if isinstance(module, (nn.Conv1d, nn.BatchNorm1d))]
    convolutions = [module for module in inner if isinstance(module, nn.Conv1d)] if len(inner) > 1 else []

    def silence(_module: nn.Module, inputs: tuple[Any, ...]) -> tuple[torch.Tensor]:
        return (inputs[0] * frame_mask[:, None],)

    hooks = [convolution.register_forward_pre_hook(silence) for convolution in convolutions]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@torch.no_grad()
def init_filterbank(weight: torch.Tensor, sampling_rate: int = SAMPLING_RATE) -> None:
    """Start a first convolution (C, 1, k) as a bank of windowed sines and cosines, evenly spaced in mel.

    An encoder that is trained from scratch on an hour of speech hardly learns to tell frequencies apart by itself;
    a pretrained one has such a bank already. The filters stay trainable.
    """
    if weight.is_meta or getattr(weight, "_is_hf_initialized", False):  # from_pretrained fills it, or has
        return
    channels, _, kernel = weight.shape
    top = 2595 * math.log10(1 + sampling_rate / 2 / 700)
    mels = torch.linspace(0, top, channels // 2 + 2)[1:-1].repeat_interleave(2)
    frequencies = 700 * (10 ** (mels / 2595) - 1)
    time = (torch.arange(kernel) - kernel / 2) / sampling_rate
    phase = torch.tensor([0.0, math.pi / 2]).repeat(channels // 2)
    filters = torch.cos(2 * math.pi * frequencies[:, None] * time + phase[:, None]) * torch.hann_window(kernel)
    filters = filters / filters.square().sum(-1, keepdim=True).sqrt()
    weight[: len(filters), 0] = filters.to(weight)


def frame_seconds(speech_config: PreTrainedConfig) -> float:
    """Return the seconds from a frame to the next: .02 for HuBERT, and for Whisper, whose config does not say so."""
    if not hasattr(speech_config, "conv_stride"):
        return 320 / SAMPLING_RATE
    return math.prod(speech_config.conv_stride) / SAMPLING_RATE


def receptive_field(speech_config: PreTrainedConfig) -> int:
    """Return the samples that one frame sees: 400 for HuBERT."""
    samples = 1
    for kernel, stride in zip(reversed(speech_config.conv_kernel), reversed(speech_config.conv_stride), strict=True):
        samples = (samples - 1) * stride + kernel
    return samples


def masked_group_norm(norm: nn.GroupNorm, hidden_states: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Apply GroupNorm with one group a channel over the first `lengths` (B,) steps of (B, C, T); zeros after them.

    The native kernel runs on each row's valid slice, which costs 1.2 times the native batch; statistics by masks
    and means cost six to eight times, and serve only where a graph is traced and lengths are not known.
    """
    steps = hidden_states.shape[-1]
    if torch.compiler.is_compiling():
        return _traced_group_norm(norm, hidden_states, lengths)
    if bool((lengths == steps).all()):
        return norm(hidden_states)
    rows = zip(hidden_states.split(1), lengths.tolist(), strict=True)
    return torch.cat([F.pad(norm(row[..., :length]), (0, steps - length)) for row, length in rows])


def _traced_group_norm(norm: nn.GroupNorm, hidden_states: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    mask = torch.arange(hidden_states.shape[-1], device=hidden_states.device) < lengths[:, None]
    mask = mask[:, None]
    states = hidden_states.float() * mask
    count = lengths[:, None, None]
    mean = states.sum(-1, keepdim=True) / count
    variance = ((states - mean) * mask).square().sum(-1, keepdim=True) / count
    normalized = (states - mean) * torch.rsqrt(variance + norm.eps)
    return ((normalized * norm.weight[:, None] + norm.bias[:, None]) * mask).to(hidden_states.dtype)
