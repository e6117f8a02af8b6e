"""MemoCMT: each modality attends to the other, and all that both found is pooled at once.

Khan, Tran, Pham, El Saddik and Othmani, "MemoCMT: multimodal emotion recognition using cross-modal transformer-based
feature fusion", Scientific Reports 15, 5473, 2025, doi 10.1038/s41598-025-89202-x. Both encoders are frozen.

```
H_S (B, m, d) ── query ──> attention to H_T ─> linear, norm ──┐
                                                              ├─ one after the other ─> least over time ─> 128 ─> head
H_T (B, n, d) ── query ──> attention to H_S ─> linear, norm ──┘  (B, m + n, d)
```

After the paper and its code: 8 heads, no residual around an attention, so that a stream holds nothing but what was
attended to; dropout on each stream, on both together, before and after the hidden layer; leaky ReLU. `pooling` is min
by default, of which the published figures are; the code has the first step (here the first frame), mean and max, too.
Chosen here: padding is masked, of which the code, with its batches of one, has none; attention weights have no
dropout.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from m4ser.model.attention_m4ser import MultiHeadAttention
from m4ser.model.base_m4ser import EmotionModel, EmotionOutput
from m4ser.model.fusion_m4ser import masked_mean
from m4ser.systems.common.bimodal import BimodalConfig
from m4ser.systems.common.config_checks import check_counts
from m4ser.systems.common.pooling import first_valid, masked_max
from m4ser.systems.common.publication import Publication

PUBLICATION = Publication(
    "Khan et al., Scientific Reports 15, 5473, 2025, doi 10.1038/s41598-025-89202-x",
    fidelity="A",
    figures={"IEMOCAP": {"WA": 81.85, "UA": 81.33}},
    caveat="Recordings were split at random, so that speakers and dialogues are in both training and test data.",
)


def masked_min(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the minimum over the valid steps, (B, d), of states (B, k, d) with mask (B, k), bool; 0 where none is."""
    return -masked_max(-states, mask)


POOLINGS: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "first": first_valid,
    "mean": masked_mean,
    "max": masked_max,
    "min": masked_min,
}


class MemoCMTConfig(BimodalConfig):
    """[`BimodalConfig`] with 8 heads and dropout of 0.05 by default.

    Args:
        pooling (`str`): of both streams over time; a key of `POOLINGS`.
        classifier_size (`int`): width of the layer before the emotion head.

    Raises:
        ValueError: an unknown pooling, or a size below 1.
    """

    model_type = "memocmt"

    def __init__(self, *args: Any, pooling: str = "min", classifier_size: int = 128, **kwargs: Any):
        published = {"num_attention_heads": 8, "hidden_dropout": 0.05, "classifier_dropout": 0.05}
        super().__init__(*args, **{**published, **kwargs})
        self.pooling = pooling
        self.classifier_size = classifier_size
        check_counts(self, "classifier_size")
        if pooling not in POOLINGS:
            raise ValueError(f"pooling is one of {', '.join(POOLINGS)}, not {pooling!r}.")


class AttendedStream(nn.Module):
    """Attention of one modality to the other: what its steps find there, and nothing of their own."""

    def __init__(self, config: MemoCMTConfig):
        super().__init__()
        self.attention = MultiHeadAttention(config)
        self.projection = nn.Linear(config.hidden_size, config.hidden_size)
        self.norm = nn.LayerNorm(config.hidden_size)
        self.dropout = nn.Dropout(config.hidden_dropout)

    def forward(self, query: torch.Tensor, memory: torch.Tensor, memory_mask: torch.Tensor) -> torch.Tensor:
        """Return (B, q, d) of queries (B, q, d) and a memory (B, k, d) with mask (B, k)."""
        attended, _ = self.attention(query, memory, memory_mask)
        return self.dropout(self.norm(self.projection(attended)))


class MemoCMTModel(EmotionModel):
    """Speech and ASR hypothesis in, emotion out; it detects and corrects no errors."""

    config_class = MemoCMTConfig
    title = "MemoCMT"

    def __init__(self, config: MemoCMTConfig):
        super().__init__(config)
        self.text_of_speech = AttendedStream(config)
        self.speech_of_text = AttendedStream(config)
        self.pool = POOLINGS[config.pooling]
        self.fusion_dropout = nn.Dropout(config.hidden_dropout)
        self.hidden = nn.Linear(config.hidden_size, config.classifier_size)
        self.add_head(config.classifier_size)

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
        text, text_mask = self.encode_text(input_ids, text_attention_mask)
        speech, frame_mask = self.encode_speech(input_values, attention_mask, speech_hidden_states)
        streams = self.text_of_speech(speech, text, text_mask), self.speech_of_text(text, speech, frame_mask)
        fused = self.fusion_dropout(torch.cat(streams, dim=1))
        pooled = self.pool(fused, torch.cat([frame_mask, text_mask], dim=1))
        embeddings = F.leaky_relu(self.hidden(self.fusion_dropout(pooled)))
        logits, loss = self.predict_emotions(embeddings, labels)
        output = EmotionOutput(
            loss=loss,
            logits=logits,
            embeddings=embeddings,
            frame_mask=frame_mask.long(),
            text_hidden_states=text,
        )
        return output if return_dict is not False else output.to_tuple()
