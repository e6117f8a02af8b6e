"""Speech in, frames out: an encoder of the wav2vec 2.0 family whose answer does not depend on the padding."""

import math
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import nn
from transformers import AutoModel

PARTS = {"feature_extractor", "feature_projection", "encoder"}


class SpeechEncoder(nn.Module):
    """H_S of Sec. III-B: waveforms (B, samples) to frames (B, m, d).

    The encoder's own forward is walked through here step by step, because one step of it looks at padding: the
    GroupNorm of HuBERT-base and wav2vec2-base averages over all samples of the batch's longest recording. Here its
    statistics come from each row's valid samples.

    Raises:
        ValueError: an encoder that this walk would not read as its own forward does.
    """

    def __init__(self, config):
        super().__init__()
        self.encoder = AutoModel.from_config(config.speech_config)
        check_speech_encoder(self.encoder)
        if config.filterbank_init:
            init_filterbank(self.encoder.feature_extractor.conv_layers[0].conv.weight)
        self.receptive_field = receptive_field(config.speech_config)
        speech_size = config.speech_config.hidden_size
        self.projection = (
            nn.Linear(speech_size, config.hidden_size) if speech_size != config.hidden_size else nn.Identity()
        )

    def forward(self, input_values, attention_mask=None):
        """`input_values` (B, samples), `attention_mask` (B, samples) with 1 on samples and 0 on right padding.

        Or (B, m, d_S) and (B, m): what [`encode`] gave before, so that a frozen encoder need not run again.

        Returns:
            frames (B, m, d) and frame_mask (B, m), bool.
        """
        if attention_mask is None:
            attention_mask = torch.ones(input_values.shape[:2], dtype=torch.long, device=input_values.device)
        if input_values.dim() == 3:
            return self.projection(input_values), attention_mask.bool()
        hidden_states, frame_mask = self.encode(input_values, attention_mask)
        return self.projection(hidden_states), frame_mask

    def encode(self, input_values, attention_mask):
        """The encoder's own frames (B, m, d_S), of its width, and frame_mask (B, m).

        A recording shorter than one frame is read as if silence followed it, so that it still has one frame.
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
        # The library's SpecAugment raises where a recording is shorter than one of its spans.
        if hidden_states.shape[1] > self.encoder.config.mask_time_length:
            hidden_states = self.encoder._mask_hidden_states(hidden_states, attention_mask=frame_mask.long())
        with silent_padding(self.encoder.encoder.pos_conv_embed, frame_mask):
            hidden_states = self.encoder.encoder(hidden_states, attention_mask=frame_mask).last_hidden_state
        return hidden_states, frame_mask

    def frame_lengths(self, input_values, attention_mask):
        """How many frames each row of what [`forward`] takes gets, (B,)."""
        if input_values.dim() == 3:
            return attention_mask.sum(-1)
        return self.encoder._get_feat_extract_output_lengths(self._sample_lengths(attention_mask))

    def _sample_lengths(self, attention_mask):
        return attention_mask.sum(-1).clamp(min=self.receptive_field)

    def _extract_features(self, input_values, lengths):
        hidden_states = input_values[:, None]
        for layer in self.encoder.feature_extractor.conv_layers:
            norm = getattr(layer, "layer_norm", None)
            if isinstance(norm, nn.GroupNorm):
                hidden_states = layer.conv(hidden_states)
                valid = (lengths - layer.conv.kernel_size[0]) // layer.conv.stride[0] + 1
                hidden_states = layer.activation(masked_group_norm(norm, hidden_states, valid))
            else:
                hidden_states = layer(hidden_states)
        return hidden_states


def check_speech_encoder(encoder):
    """Refuse what [`SpeechEncoder`] cannot walk through, by the encoder's structure.

    Raises:
        ValueError: it reads spectrograms, has other parts than the wav2vec 2.0 family, or mixes padding into frames.
    """
    parts = {name for name, _ in encoder.named_children()}
    if encoder.main_input_name != "input_values":
        reason = f"it reads {encoder.main_input_name}, not samples"
    elif parts != PARTS:
        reason = f"its parts are {', '.join(sorted(parts))}, not {', '.join(sorted(PARTS))}"
    elif any(isinstance(module, nn.Conv1d) for module in encoder.encoder.layers.modules()):
        reason = "the convolutions in its layers run over the padding of a batch"
    else:
        return
    raise ValueError(
        f"{encoder.config.model_type} cannot be the speech encoder: {reason}; choose one of the wav2vec 2.0 family, "
        "such as HuBERT, wav2vec 2.0, WavLM, Data2Vec-audio, UniSpeech or UniSpeech-SAT."
    )


@contextmanager
def silent_padding(position_embedding, frame_mask):
    """Within this context, each convolution of a position embedding reads zeros behind a row's last frame.

    It does so by itself where it is the first to look at the frames, as in HuBERT. Data2Vec-audio stacks several and
    mHuBERT normalizes before it: what they leave behind the last frame would flow back into the row.
    """
    inner = [module for module in position_embedding.modules() if isinstance(module, (nn.Conv1d, nn.BatchNorm1d))]
    convolutions = [module for module in inner if isinstance(module, nn.Conv1d)] if len(inner) > 1 else []

    def silence(_, inputs):
        return (inputs[0] * frame_mask[:, None],)

    hooks = [convolution.register_forward_pre_hook(silence) for convolution in convolutions]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@torch.no_grad()
def init_filterbank(weight, sampling_rate=16000):
    """Start a first convolution (C, 1, k) as a bank of windowed sines and cosines, evenly spaced in mel.

    An encoder that is trained from scratch on an hour of speech hardly learns to hear frequencies by itself; a
    pretrained one has such a bank already. The filters stay trainable.
    """
    if weight.is_meta:  # from_pretrained is about to fill it
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


def receptive_field(speech_config):
    """Samples that one frame sees: 400 for HuBERT."""
    samples = 1
    for kernel, stride in zip(reversed(speech_config.conv_kernel), reversed(speech_config.conv_stride), strict=True):
        samples = (samples - 1) * stride + kernel
    return samples


def masked_group_norm(norm, hidden_states, lengths):
    """GroupNorm with one group a channel over the first `lengths` (B,) steps of (B, C, T); zeros after them.

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


def _traced_group_norm(norm, hidden_states, lengths):
    mask = torch.arange(hidden_states.shape[-1], device=hidden_states.device) < lengths[:, None]
    mask = mask[:, None]
    states = hidden_states.float() * mask
    count = lengths[:, None, None]
    mean = states.sum(-1, keepdim=True) / count
    variance = ((states - mean) * mask).square().sum(-1, keepdim=True) / count
    normalized = (states - mean) * torch.rsqrt(variance + norm.eps)
    return ((normalized * norm.weight[:, None] + norm.bias[:, None]) * mask).to(hidden_states.dtype)
