"""The modality discriminator (Sec. III-G, Fig. 2f): it trains the network and never ships with it."""

import torch
from torch import Tensor, nn


class ModalityDiscriminator(nn.Module):
    """D: frames (B, m, d) to one logit each (B, m); speech goes to 1, text to 0, an ambiguous frame to 0.5.

    Two linear layers with ReLU between them. The sigmoid is in the losses. The width is the paper's by Table V,
    whose +0.2 M parameters fit 192 of 768, not 768.
    """

    def __init__(self, hidden_size: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(hidden_size, max(1, hidden_size // 4)),
            nn.ReLU(),
            nn.Linear(max(1, hidden_size // 4), 1),
        )

    def forward(self, frames: Tensor) -> Tensor:
        return self.layers(frames).squeeze(-1)


@torch.no_grad()
def invariant_probability(invariant_logits: Tensor, mask: Tensor) -> Tensor:
    """Return the mean of D(H_inv) over the valid frames: 0.5 where D cannot tell the modalities apart.

    Args:
        invariant_logits: (B, m), before the sigmoid. mask: (B, m), True where valid.
    """
    probabilities = invariant_logits.float().sigmoid() * mask
    return probabilities.sum() / mask.sum().clamp(min=1)
