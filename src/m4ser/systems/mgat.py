"""MGAT: cross-modal attention of windows at several granularities, against modalities that are out of step.

Fan et al., "MGAT: Multi-granularity attention based transformers for multi-modal emotion recognition",
ICASSP 2023, doi 10.1109/ICASSP49357.2023.10095855.

An emotion need not show in voice and words at the same time. Each modality is encoded by itself, then attends to the
other's encoding. The attended sequence is cut into windows of 4 steps, the attending one into as many windows, and
each of these sees the steps nearest its counterpart, at several granularities:

```
means of 1    . . . . a b c d . . . . .     the counterpart's 4 steps
means of 2    . A B C D . .                 4 coarser ones around them
means of 4    A B C D                       and 4 coarser still: 12 keys in all
```

Both are then concatenated in time, attend to everything, and are averaged each for the classifier.

From the published code, with these choices of ours: padding is masked everywhere; lengths vary, so that windows are
spread over a recording's own steps (step i of n attends from window floor((i + 1/2) w / n) of w), where the code pads
both modalities to 40 steps, each window's size then 4; of two steps that are equally near, the earlier is seen;
positions count valid steps across both modalities; the width is M4SER's d, and the encoders are M4SER's.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from m4ser.model.base_m4ser import EmotionModel, EmotionOutput
from m4ser.model.fusion_m4ser import masked_mean
from m4ser.systems.common.bimodal import BimodalConfig
from m4ser.systems.common.config_checks import check_counts
from m4ser.systems.common.publication import Publication

PUBLICATION = Publication(
    "Fan et al., ICASSP, 2023, doi 10.1109/ICASSP49357.2023.10095855",
    fidelity="A",
    caveat="The epoch was chosen on the test session.",
)


class MGATConfig(BimodalConfig):
    """[`BimodalConfig`], with the published values by default.

    Args:
        frame_pooling (`int`): how many frames are averaged to one step.
        window_size (`int`): steps of a window, and how many steps of each granularity are seen.
        granularities (`list[int]`): how many steps are averaged to one; each divides the window.
        num_self_layers, num_cross_layers, num_fusion_layers (`int`): of each modality's encoder, of the attention to
            the other, and of both together. `hidden_dropout` is that of the first and the last.
        cross_dropout, cross_attention_dropout (`float`): of the attention to the other.
        drop_path (`float`): how often training skips a residual branch of its last layer; 0 in its first.

    Raises:
        ValueError: as of [`BimodalConfig`], a number below its least, or a granularity that does not divide a window.
    """

    model_type = "mgat"

    def __init__(
        self,
        *args: Any,
        num_attention_heads: int = 8,
        intermediate_size: int = 512,
        frame_pooling: int = 8,
        window_size: int = 4,
        granularities: Sequence[int] = (1, 2, 4),
        num_self_layers: int = 2,
        num_cross_layers: int = 3,
        num_fusion_layers: int = 3,
        cross_dropout: float = 0.5,
        cross_attention_dropout: float = 0.2,
        drop_path: float = 0.5,
        **kwargs: Any,
    ):
        self.frame_pooling = frame_pooling
        self.window_size = window_size
        self.granularities = list(granularities)
        self.num_self_layers = num_self_layers
        self.num_cross_layers = num_cross_layers
        self.num_fusion_layers = num_fusion_layers
        self.cross_dropout = cross_dropout
        self.cross_attention_dropout = cross_attention_dropout
        self.drop_path = drop_path
        check_counts(self, "frame_pooling", "window_size", "num_self_layers", "num_cross_layers", "num_fusion_layers")
        if not self.granularities or any(size < 1 or window_size % size for size in self.granularities):
            raise ValueError(f"granularities has divisors of window_size ({window_size}), not {self.granularities}.")
        if not 0 <= drop_path < 1:
            raise ValueError(f"drop_path is a probability below 1, not {drop_path!r}.")
        super().__init__(*args, num_attention_heads=num_attention_heads, intermediate_size=intermediate_size, **kwargs)


def average_ahead(states: torch.Tensor, mask: torch.Tensor, size: int) -> torch.Tensor:
    """Return, at each step of (B, k, d) with mask (B, k), bool, the mean of the valid ones among it and the next.

    Every `size`-th of these means is the sequence at that granularity; the length stays, since the ONNX exporter could
    not follow one that depends on divisions.

    Args:
        size: of how many steps.
    """
    weights = mask[:, None].to(states.dtype)
    sums, share = (
        F.avg_pool1d(F.pad(values, (0, size - 1)), size, stride=1)
        for values in (states.transpose(1, 2) * weights, weights)
    )
    return (sums / share.clamp(min=1 / size)).transpose(1, 2)


def visible_steps(
    query_mask: torch.Tensor, key_mask: torch.Tensor, window_size: int, granularities: Sequence[int]
) -> torch.Tensor:
    """Return which means of the keys each query sees, (B, q, k for each granularity), bool.

    Args:
        query_mask: (B, q), bool. key_mask: (B, k), bool; both with the valid steps first.
    """
    queries, keys = (mask.sum(1).clamp(min=1)[:, None] for mask in (query_mask, key_mask))
    windows = -(-keys // window_size)
    position = torch.arange(query_mask.shape[1], device=query_mask.device)
    window = torch.minimum((2 * position + 1) * windows // (2 * queries), windows - 1)
    step = torch.arange(key_mask.shape[1], device=key_mask.device)
    seen = []
    for size in granularities:
        means = window_size // size  # of a window
        center = window * means + means // 2
        last_start = (-(-keys // size) - window_size).clamp(min=0)
        start = size * torch.minimum((center - window_size // 2).clamp(min=0), last_start)[..., None]
        nearest = (step >= start) & (step < start + size * window_size)
        seen.append(nearest & (step % size == 0) & key_mask[:, None])
    return torch.cat(seen, dim=-1)


def sinusoids(mask: torch.Tensor, width: int) -> torch.Tensor:
    """Return the position embeddings of Vaswani et al. 2017, (B, k, width); positions count a mask's valid steps."""
    position = mask.cumsum(1)[..., None] - 1
    rate = 10_000 ** -(torch.arange(0, width, 2, device=mask.device) / width)
    angles = position * rate
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(-2)[..., :width]


def skip_branch(branch: torch.Tensor, probability: float) -> torch.Tensor:
    """Drop a residual branch (B, k, d) of each row with this probability, and scale up the others' (drop path)."""
    kept = torch.rand(len(branch), 1, 1, device=branch.device) >= probability
    return branch * kept / (1 - probability)


class MaskedAttention(nn.Module):
    """Multi-head attention, with dropout of its weights, whose queries each see keys of their own."""

    def __init__(self, width: int, num_heads: int, dropout: float):
        super().__init__()
        self.num_heads = num_heads
        self.dropout = dropout
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)

    def forward(self, query: torch.Tensor, memory: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return (B, q, d) of queries (B, q, d) and a memory (B, k, d) with mask (B, q or 1, k), bool."""
        layers = ((self.query, query), (self.key, memory), (self.value, memory))
        q, k, v = (layer(states).unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for layer, states in layers)
        dropout = self.dropout if self.training else 0.0
        context = F.scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None], dropout_p=dropout)
        return self.output(context.transpose(1, 2).flatten(2))


class SelfAttentionLayer(nn.Module):
    """Post-norm transformer layer; positions are added to what attends and is attended to, not to its residual."""

    def __init__(self, config: MGATConfig):
        super().__init__()
        width, dropout = config.hidden_size, config.hidden_dropout
        self.attention = MaskedAttention(width, config.num_attention_heads, dropout)
        self.attention_norm = nn.LayerNorm(width)
        self.feed_forward = feed_forward(width, config.intermediate_size, nn.ReLU(), dropout)
        self.output_norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, states: torch.Tensor, positions: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return states (B, k, d) of states and positions (B, k, d) with mask (B, k), bool."""
        located = states + positions
        states = self.attention_norm(states + self.dropout(self.attention(located, located, mask[:, None])))
        return self.output_norm(states + self.feed_forward(states))


class SelfAttentionEncoder(nn.Module):
    """A norm, then layers of self-attention."""

    def __init__(self, config: MGATConfig, num_layers: int):
        super().__init__()
        self.norm = nn.LayerNorm(config.hidden_size)
        self.layers = nn.ModuleList(SelfAttentionLayer(config) for _ in range(num_layers))

    def forward(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return states (B, k, d) of states (B, k, d) with mask (B, k), bool."""
        states = self.norm(states)
        positions = sinusoids(mask, states.shape[-1]).to(states.dtype)
        for layer in self.layers:
            states = layer(states, positions, mask)
        return states


class MultiGranularityLayer(nn.Module):
    """Pre-norm transformer layer that attends to the other modality's windows; one norm serves both."""

    def __init__(self, config: MGATConfig, drop_path: float):
        super().__init__()
        width, dropout = config.hidden_size, config.cross_dropout
        self.granularities = config.granularities
        self.drop_path = drop_path
        self.attention_norm = nn.LayerNorm(width)
        self.attention = MaskedAttention(width, config.num_attention_heads, config.cross_attention_dropout)
        self.feed_forward_norm = nn.LayerNorm(width)
        self.feed_forward = feed_forward(width, config.intermediate_size, nn.GELU(), dropout)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, states: torch.Tensor, other: torch.Tensor, other_mask: torch.Tensor, visible: torch.Tensor
    ) -> torch.Tensor:
        """Return states (B, q, d) of states (B, q, d), the other modality (B, k, d), and `visible_steps` of both."""
        other = self.attention_norm(other)
        memory = torch.cat([average_ahead(other, other_mask, size) for size in self.granularities], dim=1)
        attended = self.dropout(self.attention(self.attention_norm(states), memory, visible))
        states = states + self._branch(attended)
        return states + self._branch(self.feed_forward(self.feed_forward_norm(states)))

    def _branch(self, branch: torch.Tensor) -> torch.Tensor:
        return skip_branch(branch, self.drop_path) if self.training and self.drop_path else branch


class MultiGranularityEncoder(nn.Module):
    """Layers that attend to the other modality, which stays as it is, then a norm."""

    def __init__(self, config: MGATConfig):
        super().__init__()
        self.window_size = config.window_size
        self.granularities = config.granularities
        step = config.drop_path / max(1, config.num_cross_layers - 1)
        self.layers = nn.ModuleList(MultiGranularityLayer(config, step * i) for i in range(config.num_cross_layers))
        self.norm = nn.LayerNorm(config.hidden_size)

    def forward(
        self, states: torch.Tensor, other: torch.Tensor, mask: torch.Tensor, other_mask: torch.Tensor
    ) -> torch.Tensor:
        """Return states (B, q, d) of states (B, q, d) and the other modality (B, k, d), with masks of both."""
        visible = visible_steps(mask, other_mask, self.window_size, self.granularities)
        for layer in self.layers:
            states = layer(states, other, other_mask, visible)
        return self.norm(states)


def feed_forward(width: int, hidden: int, activation: nn.Module, dropout: float) -> nn.Sequential:
    """Return two linear layers with an activation between them, and dropout after both."""
    layers = nn.Linear(width, hidden), activation, nn.Dropout(dropout), nn.Linear(hidden, width), nn.Dropout(dropout)
    return nn.Sequential(*layers)


class MGATModel(EmotionModel):
    """Speech and text in, emotion out."""

    config_class = MGATConfig
    title = "MGAT"

    def __init__(self, config: MGATConfig):
        super().__init__(config)
        width = config.hidden_size
        self.speech_self_encoder = SelfAttentionEncoder(config, config.num_self_layers)
        self.text_self_encoder = SelfAttentionEncoder(config, config.num_self_layers)
        self.speech_cross_encoder = MultiGranularityEncoder(config)
        self.text_cross_encoder = MultiGranularityEncoder(config)
        self.fusion = SelfAttentionEncoder(config, config.num_fusion_layers)
        self.hidden_classifier = nn.Sequential(
            nn.Linear(2 * width, width),
            nn.ReLU(),
            nn.Dropout(config.classifier_dropout),
            nn.Linear(width, (width + 1) // 2),
            nn.ReLU(),
        )
        self.add_head((width + 1) // 2)

    def forward(
        self,
        input_values: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        input_ids: torch.Tensor | None = None,
        text_attention_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        speech_hidden_states: torch.Tensor | None = None,
        return_dict: bool | None = None,
    ) -> EmotionOutput | tuple:
        """Predict emotions; arguments as of [`M4SERModel`]."""
        hidden_text, text_mask = self.encode_text(input_ids, text_attention_mask)
        frames, frame_mask = self.encode_speech(input_values, attention_mask, speech_hidden_states)
        speech, speech_mask = self._pool_frames(frames, frame_mask)
        speech = self.speech_self_encoder(speech, speech_mask)
        text = self.text_self_encoder(hidden_text, text_mask)
        crossed_text = self.text_cross_encoder(text, speech, text_mask, speech_mask)
        crossed_speech = self.speech_cross_encoder(speech, text, speech_mask, text_mask)
        mask = torch.cat([text_mask, speech_mask], dim=1)
        fused = self.fusion(torch.cat([crossed_text, crossed_speech], dim=1), mask)
        tokens = text.shape[1]
        means = masked_mean(fused[:, :tokens], text_mask), masked_mean(fused[:, tokens:], speech_mask)
        embeddings = self.hidden_classifier(torch.cat(means, dim=-1))
        logits, loss = self.predict_emotions(embeddings, labels)
        output = EmotionOutput(
            loss=loss,
            logits=logits,
            embeddings=embeddings,
            frame_mask=frame_mask.long(),
            text_hidden_states=hidden_text,
        )
        return output if return_dict is not False else output.to_tuple()

    def _pool_frames(self, frames: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        size = self.config.frame_pooling
        # A step of padding more, so that there never is one alone, which the ONNX exporter would take for a constant.
        frames, mask = F.pad(frames, (0, 0, 0, size)), F.pad(mask, (0, size))
        first = torch.arange(0, mask.shape[1], size, device=mask.device)
        return average_ahead(frames, mask, size)[:, first], mask[:, first]
