"""MLCCT, the multi-level circulant cross-modal transformer, as far as its abstract goes, on M4SER's own encoders.

Gong et al., "A multi-level circulant cross-modal transformer for multimodal speech emotion recognition", Computers,
Materials & Continua 74(2), 4203-4220, 2023, doi 10.32604/cmc.2023.028291. Self-supervised embeddings of both
modalities interact at two levels: the low one is a bidirectional LSTM with a circulant interaction, the high one a
two-stream residual cross-modal transformer. Self-attention fuses both streams.

```
S (B, m, d) ─> BiLSTM ─> L_S ─┬─ mean ─> circ ─┐       ┌─> L_S circulated by text ──> residual X(S, T) ─┐
                              │                ╳ ──────┤                                                 ├─ self-
T (B, n, d) ─> BiLSTM ─> L_T ─┴─ mean ─> circ ─┘       └─> L_T circulated by speech ─> residual X(T, S) ─┘  attention
  ─> means over time of both streams ─> [ ; ] ─> emotion
```

Left open in the abstract, and chosen here: the circulant interaction multiplies each step of one modality with the
circulant matrix of the other's mean over time, that is, it convolves the two around the circle of the features, and
divides by the root of the width; the result is added to the step, and normalized; the cross-modal transformer takes
these low-level features, two layers in each direction whose queries come from the stream itself and whose memory from
the other one as it was before, with the low-level features added to what the layers give; the fusion is one
transformer layer over the concatenation of both streams in time.
"""

from typing import Any

import torch
from torch import nn

from m4ser.model.base_m4ser import EmotionModel, EmotionOutput
from m4ser.model.fusion_m4ser import CrossModalEncoder, masked_mean
from m4ser.systems.common.bimodal import BimodalConfig
from m4ser.systems.common.publication import Publication
from m4ser.systems.common.recurrent import BidirectionalLSTM

PUBLICATION = Publication(
    "Gong et al., Computers, Materials & Continua 74(2), 2023, doi 10.32604/cmc.2023.028291",
    fidelity="C",
)


class MLCCTConfig(BimodalConfig):
    """[`BimodalConfig`].

    Args:
        cross_modal_layers (`int`): of the high level, in each direction.

    Raises:
        ValueError: as of [`BimodalConfig`], or no such layer.
    """

    model_type = "mlcct"

    def __init__(self, *args: Any, cross_modal_layers: int = 2, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.cross_modal_layers = cross_modal_layers
        if cross_modal_layers < 1:
            raise ValueError(f"cross_modal_layers is a whole number above 0, not {cross_modal_layers!r}.")


def circulant(vectors: torch.Tensor) -> torch.Tensor:
    """Return the circulant matrices (B, d, d) of vectors (B, d): row i is the vector, shifted right by i."""
    twice = torch.cat([vectors, vectors], dim=-1)
    return twice.unfold(-1, vectors.shape[-1], 1)[:, 1:].flip(1)


class LowLevel(nn.Module):
    """Both modalities through an LSTM each, and each in circulant interaction with the other."""

    def __init__(self, config: MLCCTConfig):
        super().__init__()
        width = config.hidden_size
        self.speech_lstm = BidirectionalLSTM(width, width)
        self.text_lstm = BidirectionalLSTM(width, width)
        self.speech_projection = nn.Linear(2 * width, width)
        self.text_projection = nn.Linear(2 * width, width)
        self.speech_norm = nn.LayerNorm(width)
        self.text_norm = nn.LayerNorm(width)

    def forward(
        self, speech: torch.Tensor, text: torch.Tensor, frame_mask: torch.Tensor, text_mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return features (B, m, d), (B, n, d) of `speech` (B, m, d) and `text` (B, n, d) with masks, bool."""
        speech = self.speech_projection(self.speech_lstm(speech, frame_mask))
        text = self.text_projection(self.text_lstm(text, text_mask))
        scale = speech.shape[-1] ** -0.5
        by_text = speech @ circulant(masked_mean(text, text_mask)) * scale
        by_speech = text @ circulant(masked_mean(speech, frame_mask)) * scale
        return self.speech_norm(speech + by_text), self.text_norm(text + by_speech)


class HighLevel(nn.Module):
    """The two-stream residual cross-modal transformer."""

    def __init__(self, config: MLCCTConfig):
        super().__init__()
        layers = range(config.cross_modal_layers)
        self.speech_layers = nn.ModuleList(CrossModalEncoder(config) for _ in layers)
        self.text_layers = nn.ModuleList(CrossModalEncoder(config) for _ in layers)

    def forward(
        self, speech: torch.Tensor, text: torch.Tensor, frame_mask: torch.Tensor, text_mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return both streams (B, m, d), (B, n, d) of `speech` (B, m, d) and `text` (B, n, d) with masks, bool."""
        high_speech, high_text = speech, text
        for speech_layer, text_layer in zip(self.speech_layers, self.text_layers, strict=True):
            high_speech, high_text = (
                speech_layer(high_speech, high_text, text_mask),
                text_layer(high_text, high_speech, frame_mask),
            )
        return speech + high_speech, text + high_text


class MLCCTModel(EmotionModel):
    """Speech and ASR hypothesis in, emotion out; it detects and corrects no errors."""

    config_class = MLCCTConfig
    title = "MLCCT"

    def __init__(self, config: MLCCTConfig):
        super().__init__(config)
        self.low_level = LowLevel(config)
        self.high_level = HighLevel(config)
        self.fusion = CrossModalEncoder(config)
        self.add_head(2 * config.hidden_size)

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
        """Predict emotions; arguments as of [`M4SERModel`]. It has no losses of its own."""
        text_states, text_mask = self.encode_text(input_ids, text_attention_mask)
        speech, frame_mask = self.encode_speech(input_values, attention_mask, speech_hidden_states)
        low = self.low_level(speech, text_states, frame_mask, text_mask)
        both = torch.cat(self.high_level(*low, frame_mask, text_mask), dim=1)
        fused = self.fusion(both, both, torch.cat([frame_mask, text_mask], dim=1))
        frames = frame_mask.shape[1]
        means = masked_mean(fused[:, :frames], frame_mask), masked_mean(fused[:, frames:], text_mask)
        embeddings = torch.cat(means, dim=-1)
        logits, loss = self.predict_emotions(embeddings, labels)
        output = EmotionOutput(
            loss=loss,
            logits=logits,
            embeddings=embeddings,
            frame_mask=frame_mask.long(),
            text_hidden_states=text_states,
        )
        return output if return_dict is not False else output.to_tuple()
