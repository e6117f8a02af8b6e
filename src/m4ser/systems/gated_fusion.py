"""Modality-gated fusion: of both modalities, the heavier stays as it is, and the other one gives way to their mixture.

Li, Bell and Lai, "Speech emotion recognition with ASR transcripts: a comprehensive study on word error rate and fusion
techniques", SLT 2024, arXiv 2406.08353; the paper's [26]. Both encoders are frozen, their states' means are fused.

```
x (speech), y (text) ─> C(x, y): both attend to each other, feed-forward                      (B, 2d)
w = softmax(gate)    ─> [w1 x; w2 C(x, y)] where w1 >= w2, else [w1 C(y, x); w2 y] ─> S       (B, 3d)
v = softmax(mixture) ─> [v1 x; v2 y; v3 S] ─> 128 ─> 16 ─> head
```

After its code: C's attention serves both directions; S is self-attention; both gates are weights of the network, not
of the recording, and begin alike. A mean is a sequence of one vector, to which any attention gives the weight 1: its
heads, queries and keys change nothing, so that only its value and output layers are built.

Chosen here: speech is the first modality, as in an example of an earlier version of the code, which matters while both
weigh the same; the layers before the head are those of the code for text alone; BERT and HuBERT are the encoders.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from m4ser.model.base_m4ser import EmotionModel, EmotionOutput
from m4ser.model.fusion_m4ser import masked_mean
from m4ser.systems.common.bimodal import BimodalConfig
from m4ser.systems.common.publication import Publication

PUBLICATION = Publication(
    "Li et al., SLT 2024, arXiv 2406.08353",
    fidelity="A",
    caveat="Its code for text alone reports the best test accuracy of all epochs.",
)


class GatedFusionConfig(BimodalConfig):
    """[`BimodalConfig`] with an `intermediate_size` of 1024 and no dropout before the head by default.

    Args:
        classifier_sizes (`list[int]`): widths of the layers before the emotion head.

    Raises:
        ValueError: no layer, or a size below 1.
    """

    model_type = "gated_fusion"

    def __init__(self, *args: Any, classifier_sizes: Sequence[int] = (128, 16), **kwargs: Any):
        super().__init__(*args, **{"intermediate_size": 1024, "classifier_dropout": 0.0, **kwargs})
        self.classifier_sizes = list(classifier_sizes)
        if not classifier_sizes or not all(isinstance(size, int) and size > 0 for size in classifier_sizes):
            raise ValueError(f"classifier_sizes are whole numbers above 0, at least one, not {self.classifier_sizes}.")


class VectorAttention(nn.Module):
    """Attention to a sequence of one vector: it weighs 1, so that its value and output layers are left."""

    def __init__(self, width: int):
        super().__init__()
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """Return (B, width) of vectors (B, width)."""
        return self.output(self.value(vectors))


class VectorMixture(nn.Module):
    """C: a transformer layer on two vectors, each of which attends to the other."""

    def __init__(self, config: GatedFusionConfig):
        super().__init__()
        width = config.hidden_size
        self.attention = VectorAttention(width)
        self.first_norm = nn.LayerNorm(width)
        self.second_norm = nn.LayerNorm(width)
        self.feed_forward = nn.Sequential(
            nn.Linear(2 * width, config.intermediate_size),
            nn.ReLU(),
            nn.Linear(config.intermediate_size, 2 * width),
        )
        self.output_norm = nn.LayerNorm(2 * width)
        self.dropout = nn.Dropout(config.hidden_dropout)

    def forward(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        """Return (B, 2d) of two vectors, (B, d) each."""
        first_attended = self.first_norm(first + self.attention(second))
        second_attended = self.second_norm(second + self.attention(first))
        both = torch.cat([first_attended, second_attended], dim=-1)
        return self.dropout(self.output_norm(both + self.feed_forward(both)))


class GatedFusionModel(EmotionModel):
    """Speech and ASR hypothesis in, emotion out; it detects and corrects no errors."""

    config_class = GatedFusionConfig
    title = "Modality-gated fusion"

    def __init__(self, config: GatedFusionConfig):
        super().__init__(config)
        width = config.hidden_size
        self.gate = nn.Parameter(torch.ones(2))
        self.mixture = nn.Parameter(torch.ones(3))
        self.cross_attention = VectorMixture(config)
        self.self_attention = VectorAttention(3 * width)
        sizes = [5 * width, *config.classifier_sizes]
        layers = [nn.Linear(*pair) for pair in pairwise(sizes)]
        self.hidden = nn.Sequential(*(module for layer in layers for module in (layer, nn.ReLU())))
        self.add_head(sizes[-1])

    def fuse(self, speech: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        """Return (B, 5d) of the means (B, d) of both modalities."""
        weights, mixture = self.gate.softmax(0), self.mixture.softmax(0)
        speech_kept = torch.cat([weights[0] * speech, weights[1] * self.cross_attention(speech, text)], dim=-1)
        text_kept = torch.cat([weights[0] * self.cross_attention(text, speech), weights[1] * text], dim=-1)
        gated = torch.where(weights[0] >= weights[1], speech_kept, text_kept)
        return torch.cat([mixture[0] * speech, mixture[1] * text, mixture[2] * self.self_attention(gated)], dim=-1)

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
        embeddings = self.hidden(self.fuse(masked_mean(speech, frame_mask), masked_mean(text, text_mask)))
        logits, loss = self.predict_emotions(embeddings, labels)
        output = EmotionOutput(
            loss=loss,
            logits=logits,
            embeddings=embeddings,
            frame_mask=frame_mask.long(),
            text_hidden_states=text,
        )
        return output if return_dict is not False else output.to_tuple()
