"""From states over time to one vector; padding never counts."""

import torch
from torch import nn


def masked_max(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the maximum over the valid steps, (B, d), of states (B, k, d) with mask (B, k), bool; 0 where none is."""
    lowest = torch.finfo(states.dtype).min
    highest = states.masked_fill(~mask[..., None], lowest).amax(1)
    return highest * mask.any(1, keepdim=True)


def first_valid(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the first valid step, (B, d), of states (B, k, d) with mask (B, k), bool."""
    index = mask.int().argmax(1)
    return states[torch.arange(len(states), device=states.device), index]


def masked_softmax(scores: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return weights (B, k) over the valid steps of scores (B, k) with mask (B, k), bool; zeros where none is."""
    scores = scores.to(torch.promote_types(scores.dtype, torch.float32)).masked_fill(~mask, float("-inf"))
    return scores.softmax(-1).nan_to_num()


class AttentionPooling(nn.Module):
    """Additive self-attention over time: weights softmax(u' tanh(W h)), and the states' mean by these."""

    def __init__(self, width: int):
        super().__init__()
        self.hidden = nn.Linear(width, width)
        self.score = nn.Linear(width, 1, bias=False)

    def weights(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return the weights (B, k) of states (B, k, d) with mask (B, k), bool."""
        return masked_softmax(self.score(torch.tanh(self.hidden(states))).squeeze(-1), mask).to(states.dtype)

    def forward(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return (B, d) of states (B, k, d) with mask (B, k), bool."""
        return (self.weights(states, mask)[..., None] * states).sum(1)
