"""Multi-head attention from one sequence to another, and the transformer layer built on it."""

import torch
import torch.nn.functional as F
from torch import nn
from transformers import PreTrainedConfig
from transformers.activations import ACT2FN


class MultiHeadAttention(nn.Module):
    """Multi-head attention of queries (B, q, d) to a memory (B, k, d); masked memory never counts.

    Vaswani et al. 2017, the paper's [42]. A row whose memory is masked everywhere gets zeros, not NaN.
    """

    def __init__(self, config: PreTrainedConfig):
        super().__init__()
        self.config = config
        self.num_heads = config.num_attention_heads
        self.query = nn.Linear(config.hidden_size, config.hidden_size)
        self.key = nn.Linear(config.hidden_size, config.hidden_size)
        self.value = nn.Linear(config.hidden_size, config.hidden_size)
        self.output = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(
        self,
        query: torch.Tensor,
        memory: torch.Tensor,
        memory_mask: torch.Tensor | None = None,
        is_causal: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Attend; `memory_mask` (B, k) bool is True where the memory is valid.

        Returns:
            The context (B, q, d) and its weights (B, heads, q, k), which only eager attention has.
        """
        q, k, v = (
            self._split_heads(layer(states))
            for layer, states in ((self.query, query), (self.key, memory), (self.value, memory))
        )
        mask = None if memory_mask is None else memory_mask[:, None, None, :]
        weights = None
        if self.config._attn_implementation == "eager":
            context, weights = eager_attention(q, k, v, mask, is_causal)
        else:
            context = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=is_causal)
        return self.output(context.transpose(1, 2).flatten(2)), weights

    def _split_heads(self, states: torch.Tensor) -> torch.Tensor:
        return states.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)


def eager_attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None, is_causal: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Compute scaled_dot_product_attention step by step; return the context and its weights."""
    scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
    allowed = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device)
    allowed = allowed.tril() if is_causal else allowed
    allowed = allowed if mask is None else allowed & mask
    precision = torch.promote_types(scores.dtype, torch.float32)
    weights = scores.masked_fill(~allowed, float("-inf")).softmax(-1, dtype=precision)
    weights = weights.nan_to_num().to(value.dtype)
    return weights @ value, weights


class FeedForward(nn.Sequential):
    """Two linear layers with GELU between them."""

    def __init__(self, hidden_size: int, intermediate_size: int):
        super().__init__(
            nn.Linear(hidden_size, intermediate_size),
            ACT2FN["gelu"],
            nn.Linear(intermediate_size, hidden_size),
        )
