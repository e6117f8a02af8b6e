"""IMISA, after its abstract, on M4SER's own encoders.

Wang, Li & Shen, "Inter-modality and intra-sample alignment for multi-modal emotion recognition", Proc. ICASSP 2024,
pp. 8301-8305. Both modalities are mapped into a shared subspace, where cross-modal self-attention and the maximum mean
discrepancy (MMD) align them; encoders of their own keep what is specific of each; a supervised contrastive loss aligns
the features at the level of samples.

```
H_S ─┬─ map ──┐                     ┌─> mean ── shared ──┬─ MMD ─┐
     │        ├─ self-attention of ─┤                    │       │
H_T ─┼─ map ──┘   both in a row     └─> mean ── shared ──┘       │
     │                                                           ├─> [speech: shared, specific; text: shared, specific]
     └─ encoder of each modality ────> mean ── specific ─────────┘      -> emotion; contrastive between the halves
```

Left open there, and chosen here: the map is one linear layer for both modalities, which puts them into one space; the
cross-modal self-attention is a transformer layer over frames and tokens in a row, a specific encoder a transformer
layer of its own; means over time; the MMD is between the batch's two sets of shared means; in the contrastive loss
a recording counts twice, by its speech half and by its text half of what is fused, so that the positives of each are
the recording's other half and both halves of the recordings of its emotion; its temperature and weight are M4SER's,
and the MMD weighs 1, as MISA's moment discrepancy does.
"""

import math
from typing import Any

import torch
from torch import nn

from m4ser.losses import contrastive_loss
from m4ser.model.base_m4ser import EmotionModel, EmotionOutput
from m4ser.model.fusion_m4ser import CrossModalEncoder, masked_mean
from m4ser.systems.common.bimodal import BimodalConfig
from m4ser.systems.common.discrepancy import maximum_mean_discrepancy
from m4ser.systems.common.publication import Publication

PUBLICATION = Publication(
    "Wang, Li & Shen, Proc. ICASSP 2024, pp. 8301-8305",
    fidelity="C",
)


class IMISAConfig(BimodalConfig):
    """[`BimodalConfig`].

    Args:
        discrepancy_weight (`float`): of the MMD between the modalities' shared means.
        sample_contrastive_weight (`float`): of the contrastive loss between the halves of recordings.
        sample_contrastive_temperature (`float`): its tau.

    Raises:
        ValueError: a weight below 0, or a temperature that is not above 0.
    """

    model_type = "imisa"

    def __init__(
        self,
        *args: Any,
        discrepancy_weight: float = 1.0,
        sample_contrastive_weight: float = 0.1,
        sample_contrastive_temperature: float = 0.07,
        **kwargs: Any,
    ):
        super().__init__(*args, **kwargs)
        self.discrepancy_weight = discrepancy_weight
        self.sample_contrastive_weight = sample_contrastive_weight
        self.sample_contrastive_temperature = sample_contrastive_temperature
        for name in ("discrepancy_weight", "sample_contrastive_weight"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} is a number of at least 0, not {getattr(self, name)}.")
        if not 0 < sample_contrastive_temperature < math.inf:
            raise ValueError(
                f"sample_contrastive_temperature is a number above 0, not {sample_contrastive_temperature}."
            )


class SharedSubspace(nn.Module):
    """The space of both modalities: a map into it, and self-attention across them."""

    def __init__(self, config: IMISAConfig):
        super().__init__()
        self.projection = nn.Linear(config.hidden_size, config.hidden_size)
        self.attention = CrossModalEncoder(config)

    def forward(
        self, speech: torch.Tensor, text: torch.Tensor, frame_mask: torch.Tensor, text_mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the means over time of both, (B, d), of speech (B, m, d) and text (B, n, d) with their masks."""
        states = self.projection(torch.cat([speech, text], dim=1))
        mask = torch.cat([frame_mask, text_mask], dim=1)
        states = self.attention(states, states, mask)
        frames = speech.shape[1]
        return masked_mean(states[:, :frames], frame_mask), masked_mean(states[:, frames:], text_mask)


class IMISAModel(EmotionModel):
    """Speech and text in, emotion out; trained on three losses."""

    config_class = IMISAConfig
    title = "IMISA"

    def __init__(self, config: IMISAConfig):
        super().__init__(config)
        self.shared = SharedSubspace(config)
        self.speech_specific = CrossModalEncoder(config)
        self.text_specific = CrossModalEncoder(config)
        self.add_head(4 * config.hidden_size)

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

        With labels, `auxiliary_losses` holds "discrepancy" and "sample_contrastive", scalars.
        """
        text, text_mask = self.encode_text(input_ids, text_attention_mask)
        speech, frame_mask = self.encode_speech(input_values, attention_mask, speech_hidden_states)
        speech_shared, text_shared = self.shared(speech, text, frame_mask, text_mask)
        speech_specific = masked_mean(self.speech_specific(speech, speech, frame_mask), frame_mask)
        text_specific = masked_mean(self.text_specific(text, text, text_mask), text_mask)
        halves = [torch.cat([speech_shared, speech_specific], dim=-1), torch.cat([text_shared, text_specific], dim=-1)]
        embeddings = torch.cat(halves, dim=-1)
        logits, loss = self.predict_emotions(embeddings, labels)
        output = EmotionOutput(
            loss=loss,
            logits=logits,
            embeddings=embeddings,
            frame_mask=frame_mask.long(),
            text_hidden_states=text,
        )
        if labels is not None:
            config: Any = self.config
            discrepancy = maximum_mean_discrepancy(speech_shared, text_shared)
            contrastive = contrastive_loss(torch.cat(halves), labels.repeat(2), config.sample_contrastive_temperature)
            output.auxiliary_losses = {
                "discrepancy": config.discrepancy_weight * discrepancy,
                "sample_contrastive": config.sample_contrastive_weight * contrastive,
            }
        return output if return_dict is not False else output.to_tuple()
