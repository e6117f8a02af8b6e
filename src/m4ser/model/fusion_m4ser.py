"""Multimodal fusion (Sec. III-E): modality-specific and modality-invariant representations of speech and text."""

from collections.abc import Sequence

import torch
from torch import nn

from .attention_m4ser import FeedForward, MultiHeadAttention
from .configuration_m4ser import EmotionConfig, M4SERConfig


class CrossModalEncoder(nn.Module):
    """CME (Fig. 3): a transformer layer whose queries come from one modality and whose memory from the other."""

    def __init__(self, config: EmotionConfig):
        super().__init__()
        self.attention = MultiHeadAttention(config)
        self.attention_norm = nn.LayerNorm(config.hidden_size)
        self.feed_forward = FeedForward(config.hidden_size, config.intermediate_size)
        self.output_norm = nn.LayerNorm(config.hidden_size)
        self.dropout = nn.Dropout(config.hidden_dropout)

    def forward(self, query: torch.Tensor, memory: torch.Tensor, memory_mask: torch.Tensor) -> torch.Tensor:
        """Return states (B, q, d) of queries (B, q, d) and a memory (B, k, d) with mask (B, k)."""
        attended, _ = self.attention(query, memory, memory_mask)
        states = self.attention_norm(query + self.dropout(attended))
        return self.output_norm(states + self.dropout(self.feed_forward(states)))


class HybridModalAttention(nn.Module):
    """HMA (Fig. 4b, eq. 14 and 15): what one modality shares with both, filtered by a learned mask."""

    def __init__(self, config: M4SERConfig):
        super().__init__()
        self.attention = MultiHeadAttention(config)
        # A 1x1 convolution over time is a linear layer on the features.
        self.mask = nn.Linear(2 * config.hidden_size, config.hidden_size)

    def forward(self, specific: torch.Tensor, combined: torch.Tensor, frame_mask: torch.Tensor) -> torch.Tensor:
        """Return H_i^(b) (B, m, d) of `specific` H_i^(spe) and `combined` H_ST, both (B, m, d)."""
        shared, _ = self.attention(combined, specific, frame_mask)  # eq. 14
        return shared * torch.sigmoid(self.mask(torch.cat([specific, combined], dim=-1)))  # eq. 15


class InvariantGenerator(nn.Module):
    """The MIR generator G (Fig. 4a, eq. 11 to 13)."""

    def __init__(self, config: M4SERConfig):
        super().__init__()
        self.speech_attention = HybridModalAttention(config)
        self.text_attention = HybridModalAttention(config)
        self.speech_convolution = _pointwise_convolution(config.hidden_size)
        self.text_convolution = _pointwise_convolution(config.hidden_size)
        self.norm = nn.LayerNorm(config.hidden_size)

    def forward(
        self,
        speech_specific: torch.Tensor,
        text_specific: torch.Tensor,
        combined: torch.Tensor,
        frame_mask: torch.Tensor,
    ) -> torch.Tensor:
        """Return H_ST^(inv) (B, m, d) of three streams (B, m, d)."""
        speech = self.speech_convolution(self.speech_attention(speech_specific, combined, frame_mask))
        text = self.text_convolution(self.text_attention(text_specific, combined, frame_mask))
        return self.norm(combined + speech + text)  # eq. 12


def _pointwise_convolution(hidden_size: int) -> nn.Module:
    return nn.Sequential(nn.Linear(hidden_size, hidden_size), nn.PReLU())


class MultimodalFusion(nn.Module):
    """The MF module of Fig. 2(d).

    ```
    H_S (B, m, d) ──┬─────────────── query ─┐
                    ├─ memory ─> CME ─ memory ─> CME ──> H_S^(spe) ─┐
    H_T (B, n, d) ──┼─ query ──────┘                                ├─> G ──> H_ST^(inv)
                    ├─ memory ─> CME (query H_S) ──────> H_T^(spe) ─┤
                    └─ resampled to m, || H_S, FC ─────> H_ST ──────┘
    ```
    Without "specific", H_S and the resampled H_T stand in for the specific representations; without
    "invariant" there is no generator; with neither only H_ST is left, which is the concat baseline of Table IV.
    """

    def __init__(self, config: M4SERConfig):
        super().__init__()
        self.has_specific = "specific" in config.representations
        self.has_invariant = "invariant" in config.representations
        if self.has_specific:
            self.text_query_cme = CrossModalEncoder(config)
            self.speech_query_cme = CrossModalEncoder(config)
            self.text_specific = CrossModalEncoder(config)
        if self.has_invariant or not self.has_specific:
            self.combination = nn.Linear(2 * config.hidden_size, config.hidden_size)
        if self.has_invariant:
            self.generator = InvariantGenerator(config)

    def attention_modules(self) -> dict[str, Sequence[nn.Module]]:
        """Return what is built of the attention between frames and tokens, and of the generator's between frames."""
        modules: dict[str, Sequence[nn.Module]] = {}
        if self.has_specific:
            modules["text_query_cme"] = [self.text_query_cme.attention]
            modules["speech_query_cme"] = [self.speech_query_cme.attention]
            modules["text_specific"] = [self.text_specific.attention]
        if self.has_invariant:
            modules["invariant_speech"] = [self.generator.speech_attention.attention]
            modules["invariant_text"] = [self.generator.text_attention.attention]
        return modules

    def forward(
        self, speech: torch.Tensor, text: torch.Tensor, frame_mask: torch.Tensor, text_mask: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """Fuse `speech` (B, m, d) and `text` (B, n, d) with masks (B, m), (B, n), bool.

        Returns:
            A dict of the streams to pool, each (B, m, d): "speech_specific", "text_specific", "invariant" as far as
            they are built, or "combined" alone.
        """
        streams: dict[str, torch.Tensor] = {}
        if self.has_specific:
            text_attended = self.text_query_cme(text, speech, frame_mask)  # eq. 8
            streams["speech_specific"] = self.speech_query_cme(speech, text_attended, text_mask)  # eq. 9
            streams["text_specific"] = self.text_specific(speech, text, text_mask)  # eq. 10
            if not self.has_invariant:
                return streams
        aligned_text = resample(text, text_mask, frame_mask)
        combined = self.combination(torch.cat([speech, aligned_text], dim=-1))  # FC(H_ST) of eq. 11
        if not self.has_invariant:
            return {"combined": combined}
        sources = streams.get("speech_specific", speech), streams.get("text_specific", aligned_text)
        streams["invariant"] = self.generator(*sources, combined, frame_mask)
        return streams


def resample(states: torch.Tensor, mask: torch.Tensor, target_mask: torch.Tensor) -> torch.Tensor:
    """Stretch each row's valid steps over the target's valid steps by linear interpolation.

    The paper concatenates H_T (n rows) with H_S (m rows) without saying how n becomes m. Same positions as
    torch.nn.functional.interpolate(mode="linear", align_corners=False) on each row alone.

    Args:
        states: (B, n, d). mask: (B, n), bool. target_mask: (B, m), bool.

    Returns:
        (B, m, d).
    """
    count = mask.sum(-1, keepdim=True).clamp(min=1)
    target_count = target_mask.sum(-1, keepdim=True).clamp(min=1)
    precision = torch.promote_types(states.dtype, torch.float32)  # bfloat16 cannot tell one frame from the next
    step = torch.arange(target_mask.shape[-1], device=states.device, dtype=precision)
    position = (step + 0.5) * count / target_count - 0.5
    position = torch.minimum(position.clamp(min=0), count - 1)
    below = position.floor().long()
    above = torch.minimum(below + 1, count - 1)
    weight = (position - below).unsqueeze(-1).to(states.dtype)
    width = states.shape[-1]
    lower = states.gather(1, below.unsqueeze(-1).expand(-1, -1, width))
    upper = states.gather(1, above.unsqueeze(-1).expand(-1, -1, width))
    return lower + weight * (upper - lower)


def masked_mean(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the mean over the valid steps, (B, d), of states (B, m, d) with mask (B, m)."""
    weights = mask.unsqueeze(-1).to(states)
    return (states * weights).sum(1) / weights.sum(1).clamp(min=1)
