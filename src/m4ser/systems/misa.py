"""MISA for two modalities: each is split into what it shares with the other and what is its own.

Hazarika, Zimmermann and Poria, "MISA: modality-invariant and -specific representations for multimodal sentiment
analysis", ACM Multimedia 2020, 1122-1131, doi 10.1145/3394171.3413678.

```
mean over time ─> u = LN(ReLU(linear)) ─┬─> private = sigmoid(linear of its own) ─┐
(of speech, of text)                    └─> shared = sigmoid(linear of both) ─────┴─> reconstruct u from their sum
[private, private, shared, shared] ─> transformer layer ─> side by side (B, 4 s) ─> ReLU(linear) (B, 2 s) ─> head
```

The emotion loss is joined by three losses over the batch: shared spaces have the same distribution (CMD), private ones
are orthogonal to the shared ones and to each other, and both together lose nothing (reconstruction).

After its code, with video left out; the code's regression of sentiment is a classification here. Chosen here: speech
states are the speech encoder's, averaged, where MISA has LSTM layers on acoustic features; the reconstruction is
averaged over two modalities instead of three, and one pair has a CMD. Each process compares its own batch.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from m4ser.model.base_m4ser import EmotionModel, EmotionOutput
from m4ser.model.fusion_m4ser import masked_mean
from m4ser.systems.common.bimodal import BimodalConfig
from m4ser.systems.common.config_checks import check_attention_size, check_counts
from m4ser.systems.common.publication import Publication
from m4ser.systems.common.space_losses import central_moment_discrepancy, orthogonality

PUBLICATION = Publication(
    "Hazarika et al., ACM Multimedia 2020, doi 10.1145/3394171.3413678; without its video",
    fidelity="A",
)


class MISAConfig(BimodalConfig):
    """[`BimodalConfig`] with 2 heads and an `intermediate_size` of 2048 by default, which are the fusion layer's.

    Args:
        space_size (`int`): width s of the spaces.
        orthogonality_weight, moment_weight, reconstruction_weight (`float`): weights of the system's losses.
        num_moments (`int`): highest order of CMD.

    Raises:
        ValueError: a size or order below 1, or spaces that the heads do not divide.
    """

    model_type = "misa"

    def __init__(
        self,
        *args: Any,
        space_size: int = 128,
        orthogonality_weight: float = 0.3,
        moment_weight: float = 1.0,
        reconstruction_weight: float = 1.0,
        num_moments: int = 5,
        **kwargs: Any,
    ):
        super().__init__(*args, **{"num_attention_heads": 2, "intermediate_size": 2048, **kwargs})
        self.space_size = space_size
        self.orthogonality_weight = orthogonality_weight
        self.moment_weight = moment_weight
        self.reconstruction_weight = reconstruction_weight
        self.num_moments = num_moments
        check_counts(self, "space_size", "num_moments")
        check_attention_size(self, "space_size", space_size)


class ModalitySpaces(nn.Module):
    """Layers that one modality has to itself: its projection, its private space and its reconstruction."""

    def __init__(self, config: MISAConfig):
        super().__init__()
        size = config.space_size
        self.projection = nn.Sequential(nn.Linear(config.hidden_size, size), nn.ReLU(), nn.LayerNorm(size))
        self.private = nn.Sequential(nn.Linear(size, size), nn.Sigmoid())
        self.reconstruction = nn.Linear(size, size)

    def reconstruction_loss(
        self, projected: torch.Tensor, private: torch.Tensor, shared: torch.Tensor
    ) -> torch.Tensor:
        """Return the mean squared error (B,) of what both spaces (B, s) say of the projected modality (B, s)."""
        reconstructed = self.reconstruction(private + shared)
        return (reconstructed.float() - projected.float()).square().mean(-1)


class MISAModel(EmotionModel):
    """Speech and ASR hypothesis in, emotion out; it detects and corrects no errors."""

    config_class = MISAConfig
    title = "MISA"

    def __init__(self, config: MISAConfig):
        super().__init__(config)
        size = config.space_size
        self.speech_spaces = ModalitySpaces(config)
        self.text_spaces = ModalitySpaces(config)
        self.shared = nn.Sequential(nn.Linear(size, size), nn.Sigmoid())
        self.fusion = nn.TransformerEncoderLayer(
            size, config.num_attention_heads, config.intermediate_size, config.hidden_dropout, batch_first=True
        )
        self.hidden = nn.Linear(4 * size, 2 * size)
        self.add_head(2 * size)

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

        With labels, `auxiliary_losses` holds "moments", "orthogonality" and "reconstruction".
        """
        text, text_mask = self.encode_text(input_ids, text_attention_mask)
        frames, frame_mask = self.encode_speech(input_values, attention_mask, speech_hidden_states)
        modalities = self.text_spaces, self.speech_spaces
        means = masked_mean(text, text_mask), masked_mean(frames, frame_mask)
        projected = [spaces.projection(mean) for spaces, mean in zip(modalities, means, strict=True)]
        private = [spaces.private(vectors) for spaces, vectors in zip(modalities, projected, strict=True)]
        shared = [self.shared(vectors) for vectors in projected]
        fused = self.fusion(torch.stack([*private, *shared], dim=1))
        embeddings = F.relu(self.hidden(fused.flatten(1)))
        logits, loss = self.predict_emotions(embeddings, labels)
        output = EmotionOutput(
            loss=loss,
            logits=logits,
            embeddings=embeddings,
            frame_mask=frame_mask.long(),
            text_hidden_states=text,
        )
        if labels is not None:
            output.auxiliary_losses = self.space_losses(projected, private, shared)
        return output if return_dict is not False else output.to_tuple()

    def space_losses(
        self, projected: list[torch.Tensor], private: list[torch.Tensor], shared: list[torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        """Return the weighted losses of vectors (B, s), of text and then of speech in each list."""
        config = self.config
        pairs = [*zip(private, shared, strict=True), tuple(private)]
        reconstructions = [
            spaces.reconstruction_loss(*vectors)
            for spaces, *vectors in zip(
                (self.text_spaces, self.speech_spaces), projected, private, shared, strict=True
            )
        ]
        return {
            "moments": config.moment_weight * central_moment_discrepancy(shared[0], shared[1], config.num_moments),
            "orthogonality": config.orthogonality_weight * sum(orthogonality(*pair) for pair in pairs),
            "reconstruction": config.reconstruction_weight * sum(reconstructions) / len(reconstructions),
        }
