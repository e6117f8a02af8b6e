"""MER-HAN: attention within each modality, between both, and over their sum.

Zhang et al., "Multimodal emotion recognition based on audio and text by using hybrid attention networks", Biomedical
Signal Processing and Control 85, 105052, 2023, doi 10.1016/j.bspc.2023.105052.

```
H_S (B, m, d) ─> BiLSTM, 2 layers ─> attention within ─> linear ─┬─> attention to text ──────────────┐
                                                                 X                                   + ─> global
H_T (B, n, d) ─────────────────────> attention within ─> linear ─┴─> attention to speech ─> resample ┘    attention
```

From a figure of the paper and a re-implementation by others: 4 heads, a residual and a norm around each attention, a
convolution of kernel 1, which is a linear layer, to 256. Chosen here: the speech encoder's frames take the role of 40
MFCC; text is resampled to the frames before both streams are added; global attention is additive, softmax(u' tanh(W
h)), and its weights multiply the sum, which is added up over time; the head's dropout is the default.
"""

from copy import copy
from typing import Any

import torch
from torch import nn

from m4ser.model.attention_m4ser import MultiHeadAttention
from m4ser.model.base_m4ser import EmotionModel, EmotionOutput
from m4ser.model.fusion_m4ser import resample
from m4ser.systems.common.bimodal import BimodalConfig
from m4ser.systems.common.config_checks import check_attention_size, check_counts
from m4ser.systems.common.pooling import AttentionPooling
from m4ser.systems.common.publication import Publication
from m4ser.systems.common.recurrent import BidirectionalLSTM

PUBLICATION = Publication(
    "Zhang et al., Biomedical Signal Processing and Control 85, 105052, 2023, doi 10.1016/j.bspc.2023.105052",
    fidelity="B",
    figures={"IEMOCAP": {"F1": 73.66}},
    caveat="IEMOCAP was tested on session 5 alone.",
)


class MERHANConfig(BimodalConfig):
    """[`BimodalConfig`] with 4 heads by default.

    Args:
        recurrent_size (`int`): units of the LSTM layers in each direction.
        common_size (`int`): width at which the modalities attend to each other.

    Raises:
        ValueError: a size below 1, or one that the heads do not divide.
    """

    model_type = "mer_han"

    def __init__(self, *args: Any, recurrent_size: int = 256, common_size: int = 256, **kwargs: Any):
        super().__init__(*args, **{"num_attention_heads": 4, **kwargs})
        self.recurrent_size = recurrent_size
        self.common_size = common_size
        check_counts(self, "recurrent_size", "common_size")
        check_attention_size(self, "recurrent_size", 2 * recurrent_size)
        check_attention_size(self, "common_size", common_size)


class ResidualAttention(nn.Module):
    """Attention of a width of its own, with a residual and a norm: LN(query + attended)."""

    def __init__(self, config: MERHANConfig, width: int):
        super().__init__()
        config = copy(config)
        config.hidden_size = width
        self.attention = MultiHeadAttention(config)
        self.norm = nn.LayerNorm(width)

    def forward(self, query: torch.Tensor, memory: torch.Tensor, memory_mask: torch.Tensor) -> torch.Tensor:
        """Return (B, q, width) of queries (B, q, width) and a memory (B, k, width) with mask (B, k)."""
        return self.norm(query + self.attention(query, memory, memory_mask)[0])


class MERHANModel(EmotionModel):
    """Speech and ASR hypothesis in, emotion out; it detects and corrects no errors."""

    config_class = MERHANConfig
    title = "MER-HAN"

    def __init__(self, config: MERHANConfig):
        super().__init__(config)
        speech_size, text_size, size = 2 * config.recurrent_size, config.hidden_size, config.common_size
        self.recurrent = BidirectionalLSTM(config.hidden_size, config.recurrent_size, num_layers=2)
        self.speech_attention = ResidualAttention(config, speech_size)
        self.text_attention = ResidualAttention(config, text_size)
        self.speech_projection = nn.Linear(speech_size, size)
        self.text_projection = nn.Linear(text_size, size)
        self.speech_query_attention = ResidualAttention(config, size)
        self.text_query_attention = ResidualAttention(config, size)
        self.global_attention = AttentionPooling(size)
        self.add_head(size)

    def fuse(
        self, speech: torch.Tensor, text: torch.Tensor, frame_mask: torch.Tensor, text_mask: torch.Tensor
    ) -> torch.Tensor:
        """Return (B, common_size) of both modalities (B, m, d), (B, n, d) with masks (B, m), (B, n), bool."""
        speech = self.recurrent(speech, frame_mask)
        speech = self.speech_projection(self.speech_attention(speech, speech, frame_mask))
        text = self.text_projection(self.text_attention(text, text, text_mask))
        speech_stream = self.speech_query_attention(speech, text, text_mask)
        text_stream = self.text_query_attention(text, speech, frame_mask)
        return self.global_attention(speech_stream + resample(text_stream, text_mask, frame_mask), frame_mask)

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
        embeddings = self.fuse(speech, text, frame_mask, text_mask)
        logits, loss = self.predict_emotions(embeddings, labels)
        output = EmotionOutput(
            loss=loss,
            logits=logits,
            embeddings=embeddings,
            frame_mask=frame_mask.long(),
            text_hidden_states=text,
        )
        return output if return_dict is not False else output.to_tuple()
