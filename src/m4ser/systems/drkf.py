"""DRKF: representations refined against their own reconstruction, fused by a transformer that sees mismatched pairs.

Jiang et al., "DRKF: Decoupled representations with knowledge fusion for multimodal emotion recognition", ACM
Multimedia 2025, arXiv 2508.01644.

```
speech, text ──> [0 ; speech ; 0 ; text ; 0] ──> transformer ──> first position ──> emotions
      │                                                                └──────────> same emotion? (mismatched pairs)
      └─> residual autoencoder ──> reconstruction, in training alone
```

Besides the emotions, training minimizes, for each modality, the error of the reconstruction, a contrastive loss
between a recording's projected vector and the mean of its reconstruction (NT-Xent), and the divergence of the class
distributions of these two; further a contrastive loss between the modalities (InfoNCE), and whether speech and text
of different recordings share the emotion, for all pairs of a batch. The temperature is learned.

From the published code, with these choices of ours: the fusion is a stack of M4SER's transformer layers, post-norm as
in BERT, behind learned positions, without dropout of attention weights; steps beyond its last position share that;
padding is masked, is no part of means, and has no position; the projected vector of text is made from its first token,
since the encoders come without BERT's pooler; what the code computes of the class distributions is taken as it must
be meant, D(reconstructed || original), summed over classes, of each modality by its own classifier (there, speech has
that of text, and probabilities serve as logarithms); the width is M4SER's d, and the encoders are M4SER's.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from m4ser.model.base_m4ser import EmotionModel, EmotionOutput
from m4ser.model.fusion_m4ser import CrossModalEncoder, masked_mean
from m4ser.systems.common.bimodal import BimodalConfig
from m4ser.systems.common.config_checks import check_at_least, check_counts
from m4ser.systems.common.pooling import first_valid
from m4ser.systems.common.publication import Publication

# IEMOCAP's as the published code names them: its "accuracy" is the mean recall.
PUBLICATION = Publication(
    "Jiang et al., ACM Multimedia, 2025, arXiv 2508.01644",
    fidelity="A",
    figures={"IEMOCAP": {"WA": 79.9, "UA": 80.7}, "MELD": {"ACC": 66.7, "W-F1": 65.4}},
    caveat="On IEMOCAP, the epoch was chosen on the test session.",
)
WEIGHTS = ("reconstruction_weight", "augmentation_weight", "cross_modal_weight", "pair_weight", "divergence_weight")


class DRKFConfig(BimodalConfig):
    """[`BimodalConfig`], with the published values by default.

    Args:
        autoencoder_sizes (`list[int]`): widths from a block's first layer to its bottleneck.
        num_autoencoder_blocks, num_fusion_layers (`int`): one after another.
        max_positions (`int`): of the fusion's sequence that have an embedding of their own.
        reconstruction_weight, divergence_weight (`float`): of a modality's squared error and class distributions.
        augmentation_weight, cross_modal_weight (`float`): of the contrastive losses, each within a modality and that
            between them.
        pair_weight (`float`): of the mismatched pairs.

    Raises:
        ValueError: as of [`BimodalConfig`], or a number below its least.
    """

    model_type = "drkf"

    def __init__(
        self,
        *args: Any,
        num_attention_heads: int = 8,
        classifier_dropout: float = 0.0,
        autoencoder_sizes: Sequence[int] = (256, 128, 64),
        num_autoencoder_blocks: int = 5,
        num_fusion_layers: int = 6,
        max_positions: int = 2800,
        reconstruction_weight: float = 0.2,
        augmentation_weight: float = 0.2,
        cross_modal_weight: float = 0.2,
        pair_weight: float = 0.2,
        divergence_weight: float = 1.0,
        **kwargs: Any,
    ):
        self.autoencoder_sizes = list(autoencoder_sizes)
        self.num_autoencoder_blocks = num_autoencoder_blocks
        self.num_fusion_layers = num_fusion_layers
        self.max_positions = max_positions
        self.reconstruction_weight = reconstruction_weight
        self.augmentation_weight = augmentation_weight
        self.cross_modal_weight = cross_modal_weight
        self.pair_weight = pair_weight
        self.divergence_weight = divergence_weight
        check_at_least(self, 0, *WEIGHTS)
        check_counts(self, "num_autoencoder_blocks", "num_fusion_layers", "max_positions")
        if not self.autoencoder_sizes or any(size < 1 for size in self.autoencoder_sizes):
            raise ValueError(f"autoencoder_sizes has widths above 0, at least one, not {self.autoencoder_sizes}.")
        shared = {"num_attention_heads": num_attention_heads, "classifier_dropout": classifier_dropout}
        super().__init__(*args, **shared, **kwargs)


class ResidualAutoencoder(nn.Module):
    """Blocks that each add what they make of a bottleneck to their input."""

    def __init__(self, config: DRKFConfig):
        super().__init__()
        width, sizes = config.hidden_size, config.autoencoder_sizes
        down, up = [width, *sizes], [*reversed(sizes), width]
        self.blocks = nn.ModuleList(
            nn.Sequential(perceptron(down, nn.LeakyReLU), perceptron(up, nn.ReLU))
            for _ in range(config.num_autoencoder_blocks)
        )
        self.output = perceptron([width] * 3, nn.ReLU)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """Return the reconstruction (B, k, d) of states (B, k, d)."""
        for block in self.blocks:
            states = states + block(states)
        return self.output(states)


class Augmentation(nn.Module):
    """A modality's reconstruction, and the losses that compare the two."""

    def __init__(self, config: DRKFConfig):
        super().__init__()
        self.autoencoder = ResidualAutoencoder(config)
        self.projection = perceptron([config.hidden_size] * 3, nn.ReLU)
        self.classifier = nn.Linear(config.hidden_size, config.num_emotions)

    def forward(
        self, states: torch.Tensor, mask: torch.Tensor, pooled: torch.Tensor, temperature: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Compare states (B, k, d) with mask (B, k), bool, and their pooled vector (B, d) with the reconstruction.

        Returns:
            The projected vector (B, d); the squared error (B,), NT-Xent (B,) and the divergence (B,).
        """
        projected = self.projection(pooled)
        reconstruction = self.autoencoder(states)
        error = masked_mean((reconstruction - states).float().square(), mask).mean(-1)
        augmented = masked_mean(reconstruction, mask)
        original, other = (self.classifier(vector).float().log_softmax(-1) for vector in (projected, augmented))
        divergence = F.kl_div(original, other, log_target=True, reduction="none").sum(-1)
        return projected, error, nt_xent(projected, augmented, temperature), divergence


class FusionTransformer(nn.Module):
    """Self-attention over both modalities, with vectors of zeros before, between and after them."""

    def __init__(self, config: DRKFConfig):
        super().__init__()
        self.positions = nn.Embedding(config.max_positions, config.hidden_size)
        self.norm = nn.LayerNorm(config.hidden_size)
        self.dropout = nn.Dropout(config.hidden_dropout)
        self.layers = nn.ModuleList(CrossModalEncoder(config) for _ in range(config.num_fusion_layers))

    def forward(
        self, speech: torch.Tensor, text: torch.Tensor, frame_mask: torch.Tensor, text_mask: torch.Tensor
    ) -> torch.Tensor:
        """Return the first position (B, d) of `speech` (B, m, d) and `text` (B, n, d), masks (B, m), (B, n), bool."""
        zero, present = torch.zeros_like(speech[:, :1]), torch.ones_like(frame_mask[:, :1])
        states = torch.cat([zero, speech, zero, text, zero], dim=1)
        mask = torch.cat([present, frame_mask, present, text_mask, present], dim=1)
        position = (mask.cumsum(1) - 1).clamp(max=self.positions.num_embeddings - 1)
        states = self.dropout(self.norm(states + self.positions(position)))
        for layer in self.layers:
            states = layer(states, states, mask)
        return states[:, 0]


def perceptron(widths: Sequence[int], activation: type[nn.Module]) -> nn.Sequential:
    """Return linear layers between successive widths, with an activation between the layers."""
    layers: list[nn.Module] = []
    for size, following in pairwise(widths):
        layers += [nn.Linear(size, following), activation()]
    return nn.Sequential(*layers[:-1])


def nt_xent(first: torch.Tensor, second: torch.Tensor, temperature: torch.Tensor) -> torch.Tensor:
    """Compute NT-Xent (Chen et al. 2020), (B,), of two views (B, d): each has to find the other one among all."""
    count = len(first)
    views = F.normalize(torch.cat([first, second]).float(), dim=-1)
    itself = torch.eye(2 * count, dtype=torch.bool, device=views.device)
    similarity = (views @ views.T / temperature).masked_fill(itself, float("-inf"))
    partner = torch.arange(2 * count, device=views.device).roll(count)
    return F.cross_entropy(similarity, partner, reduction="none").view(2, count).mean(0)


def info_nce(speech: torch.Tensor, text: torch.Tensor, temperature: torch.Tensor) -> torch.Tensor:
    """Compute InfoNCE, (B,): each speech vector (B, d) has to find its text (B, d) among all texts."""
    similarity = F.normalize(speech.float(), dim=-1) @ F.normalize(text.float(), dim=-1).T / temperature
    return F.cross_entropy(similarity, torch.arange(len(speech), device=speech.device), reduction="none")


class DRKFModel(EmotionModel):
    """Speech and text in, emotion out."""

    config_class = DRKFConfig
    title = "DRKF"

    def __init__(self, config: DRKFConfig):
        super().__init__(config)
        self.speech_augmentation = Augmentation(config)
        self.text_augmentation = Augmentation(config)
        self.fusion = FusionTransformer(config)
        self.pair_classifier = nn.Linear(config.hidden_size, 2)
        self.temperature_logit = nn.Parameter(torch.ones(1))
        self.add_head(config.hidden_size)

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
        """Predict emotions; arguments as of [`M4SERModel`].

        With labels, `auxiliary_losses` holds "reconstruction", "augmentation", "divergence" and "cross_modal", each
        (B,), and "pairs", a scalar.
        """
        text, text_mask = self.encode_text(input_ids, text_attention_mask)
        speech, frame_mask = self.encode_speech(input_values, attention_mask, speech_hidden_states)
        embeddings = self.fusion(speech, text, frame_mask, text_mask)
        logits, loss = self.predict_emotions(embeddings, labels)
        output = EmotionOutput(
            loss=loss,
            logits=logits,
            embeddings=embeddings,
            frame_mask=frame_mask.long(),
            text_hidden_states=text,
        )
        if labels is not None:
            output.auxiliary_losses = {
                **self._augmentation_losses(speech, text, frame_mask, text_mask),
                "pairs": self.config.pair_weight * self._pair_loss(speech, text, frame_mask, text_mask, labels),
            }
        return output if return_dict is not False else output.to_tuple()

    def _augmentation_losses(
        self, speech: torch.Tensor, text: torch.Tensor, frame_mask: torch.Tensor, text_mask: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        temperature = self.temperature_logit.float().sigmoid()
        mean_speech, first_token = masked_mean(speech, frame_mask), first_valid(text, text_mask)
        spoken, *speech_losses = self.speech_augmentation(speech, frame_mask, mean_speech, temperature)
        written, *text_losses = self.text_augmentation(text, text_mask, first_token, temperature)
        error, contrast, divergence = (sum(pair) for pair in zip(speech_losses, text_losses, strict=True))
        return {
            "reconstruction": self.config.reconstruction_weight * error,
            "augmentation": self.config.augmentation_weight * contrast,
            "divergence": self.config.divergence_weight * divergence,
            "cross_modal": self.config.cross_modal_weight * info_nce(spoken, written, temperature),
        }

    def _pair_loss(
        self,
        speech: torch.Tensor,
        text: torch.Tensor,
        frame_mask: torch.Tensor,
        text_mask: torch.Tensor,
        labels: torch.Tensor,
    ) -> torch.Tensor:
        """Mean over the B (B - 1) pairs of one recording's speech and another's text; 0 where there is but one."""
        itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
        spoken, written = (~itself).nonzero(as_tuple=True)
        fused = self.fusion(speech[spoken], text[written], frame_mask[spoken], text_mask[written])
        same = (labels[spoken] == labels[written]).long()
        losses = F.cross_entropy(self.pair_classifier(fused).float(), same, reduction="none")
        return losses.sum() / max(1, len(losses))
