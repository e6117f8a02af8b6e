"""SAWC, self-attention weight correction, after its abstract, on M4SER's own encoders.

Santoso, Yamada, Ishizuka, Hashimoto & Makino, "Speech emotion recognition based on self-attention weight correction
for acoustic and text features", IEEE Access 10:115732-115743, 2022, doi 10.1109/ACCESS.2022.3219094. A bidirectional
LSTM and self-attention pool each modality into a vector; the ASR model's confidence in each word lowers the text's
attention weights of doubtful words, and raises the speech's weights of the segments that hold them.

```
H_T ─> BLSTM ─> weights α_i ─> α_i c_i, normalized ───────> sum ─┐
                    confidences c_i of tokens                    ├─> emotion
H_S ─> BLSTM ─> weights α_t ─> α_t (2 - c_t), normalized ─> sum ─┘
```

Left open there, and chosen here: both corrections' form, by which a certain word (c = 1) changes nothing and frames of
a word that is surely wrong (c = 0) weigh twice; the frames' confidences, which are the tokens', linearly resampled
over the valid frames, since the datasets do not have the words' times; all tokens of a word have its confidence, [CLS]
and [SEP] have 1; the attention is additive; both directions of the LSTM together are as wide as its input; the two
vectors are concatenated. A hypothesis without confidences is not corrected; they come from a dataset or with the
pipeline's input. What the pipeline transcribes by itself and the texts of `m4ser predict` have none, and an exported
graph takes none.
"""

from typing import Any

import torch
from torch import nn

from m4ser.model.base_m4ser import EmotionModel, EmotionOutput
from m4ser.model.fusion_m4ser import resample
from m4ser.systems.common.bimodal import BimodalConfig
from m4ser.systems.common.pooling import AttentionPooling
from m4ser.systems.common.publication import Publication
from m4ser.systems.common.recurrent import BidirectionalLSTM

PUBLICATION = Publication(
    "Santoso et al., IEEE Access 10:115732-115743, 2022, doi 10.1109/ACCESS.2022.3219094",
    fidelity="C",
)


class SAWCConfig(BimodalConfig):
    """[`BimodalConfig`].

    Args:
        recurrent_size (`int`, *optional*): width of the LSTM in each direction; half of `hidden_size` by default.

    Raises:
        ValueError: a size below 1.
    """

    model_type = "sawc"

    def __init__(self, *args: Any, recurrent_size: int | None = None, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.recurrent_size = max(self.hidden_size // 2, 1) if recurrent_size is None else recurrent_size
        if self.recurrent_size < 1:
            raise ValueError(f"recurrent_size is a whole number above 0, not {recurrent_size}.")


class CorrectedPooling(nn.Module):
    """A modality's states to one vector, by attention whose weights are corrected."""

    def __init__(self, config: SAWCConfig):
        super().__init__()
        self.recurrent = BidirectionalLSTM(config.hidden_size, config.recurrent_size)
        self.pooling = AttentionPooling(2 * config.recurrent_size)

    def forward(self, states: torch.Tensor, mask: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
        """Return (B, 2 * recurrent_size) of states (B, k, d), mask (B, k) and factors (B, k) of the weights."""
        states = self.recurrent(states, mask)
        weights = corrected(self.pooling.weights(states, mask), factors)
        return (weights[..., None] * states).sum(1)


class SAWCModel(EmotionModel):
    """Speech, ASR hypothesis and the confidence in its words in, emotion out."""

    config_class = SAWCConfig
    title = "SAWC"
    extra_inputs = ("token_confidences",)

    def __init__(self, config: SAWCConfig):
        super().__init__(config)
        self.speech_pooling = CorrectedPooling(config)
        self.text_pooling = CorrectedPooling(config)
        self.add_head(4 * config.recurrent_size)

    def forward(
        self,
        input_values: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        input_ids: torch.Tensor | None = None,
        text_attention_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        token_confidences: torch.Tensor | None = None,
        speech_hidden_states: torch.Tensor | None = None,
        return_dict: bool | None = None,
    ) -> EmotionOutput | tuple:
        """Predict emotions; arguments as of [`M4SERModel`].

        Args:
            token_confidences (B, n): the ASR model's in the word of each token, from 0 to 1; 1 for all by default.
        """
        text, text_mask = self.encode_text(input_ids, text_attention_mask)
        speech, frame_mask = self.encode_speech(input_values, attention_mask, speech_hidden_states)
        confidences = torch.ones_like(text_mask, dtype=torch.float32)
        if token_confidences is not None:
            confidences = token_confidences.to(confidences)
        frame_confidences = resample(confidences[..., None], text_mask, frame_mask).squeeze(-1)
        vectors = [
            self.speech_pooling(speech, frame_mask, 2 - frame_confidences),
            self.text_pooling(text, text_mask, confidences),
        ]
        embeddings = torch.cat(vectors, dim=-1)
        logits, loss = self.predict_emotions(embeddings, labels)
        output = EmotionOutput(
            loss=loss,
            logits=logits,
            embeddings=embeddings,
            frame_mask=frame_mask.long(),
            text_hidden_states=text,
        )
        return output if return_dict is not False else output.to_tuple()


def corrected(weights: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    """Return attention weights (B, k) times factors (B, k), normalized again; all zeros stay so."""
    products = weights * factors  # in the precision of the factors, where that is higher
    return (products / products.sum(-1, keepdim=True).clamp(min=1e-12)).to(weights.dtype)
