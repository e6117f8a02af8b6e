"""HCAM without its dialogue stage, on M4SER's encoders: unimodal embeddings, then co-attention.

Dutta and Ganapathy, "HCAM: Hierarchical cross attention model for multi-modal emotion recognition", 2023,
arXiv 2304.06910. The published system is trained in three stages: I embeds each utterance by each modality, II puts
it into the context of its dialogue, III fuses both modalities by co-attention. Stage II is left out here, where a
recording comes without its dialogue; the result is another system than the one whose figures are published.

```
input_values ─> SpeechEncoder ─────────────────────> S ─ attention pooling ─> e_S ─> emotion (stage I)
input_ids ────> TextEncoder ──> BiGRU ─> Linear ───> T ─ attention pooling ─> e_T ─> emotion (stage I)
S, T ─> 4 x co-attention ─> mean over time + Linear(e_S), Linear(e_T) ─> [T; S] ─> LN ─> Linear ─> ReLU ─> emotion
```

Of stage III, the layers and their widths are those of the same group's later code for MiSTER-E, with d for its 1024.
The supervised contrastive loss takes an utterance's two modalities as two samples, with the weight and temperature
from there, too. Chosen here: the co-attention runs between the frames and the tokens of one utterance instead of
between the utterances of a dialogue, of which one alone would leave it a single key; HuBERT for wav2vec 2.0 and BERT
for RoBERTa; what is pooled and how; all stages are trained at once, each by its cross-entropy.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from m4ser.losses import contrastive_loss
from m4ser.model.base_m4ser import EmotionModel, EmotionOutput
from m4ser.model.fusion_m4ser import masked_mean
from m4ser.systems.common.bimodal import BimodalConfig
from m4ser.systems.common.pooling import AttentionPooling
from m4ser.systems.common.publication import Publication
from m4ser.systems.common.recurrent import BidirectionalLayer

PUBLICATION = Publication(
    "Dutta and Ganapathy, 2023, arXiv 2304.06910",
    fidelity="B",
    figures={"IEMOCAP": {"W-F1": 85.9}, "MELD": {"W-F1": 65.8}},
    caveat="The figures are those of the whole system, which predicts an utterance in the context of its dialogue.",
)


class HCAMConfig(BimodalConfig):
    """[`BimodalConfig`].

    Args:
        co_attention_layers (`int`): of stage III, each both ways and then within each modality.
        co_attention_size (`int`): width of their queries, keys and values. co_attention_heads (`int`): it divides it.
        co_attention_dropout (`float`): of their weights. residual_dropout (`float`): of what they add.
        unimodal_weight (`float`): of both cross-entropies of stage I.
        supervised_contrastive_weight, contrastive_temperature (`float`): of the contrastive loss.

    Raises:
        ValueError: as of [`BimodalConfig`], or heads that do not divide the width.
    """

    model_type = "hcam"

    def __init__(
        self,
        *args: Any,
        co_attention_layers: int = 4,
        co_attention_size: int = 120,
        co_attention_heads: int = 3,
        co_attention_dropout: float = 0.1,
        residual_dropout: float = 0.5,
        unimodal_weight: float = 1.0,
        supervised_contrastive_weight: float = 2.0,
        contrastive_temperature: float = 1.0,
        **kwargs: Any,
    ):
        super().__init__(*args, **kwargs)
        self.co_attention_layers = co_attention_layers
        self.co_attention_size = co_attention_size
        self.co_attention_heads = co_attention_heads
        self.co_attention_dropout = co_attention_dropout
        self.residual_dropout = residual_dropout
        self.unimodal_weight = unimodal_weight
        self.supervised_contrastive_weight = supervised_contrastive_weight
        self.contrastive_temperature = contrastive_temperature
        if co_attention_size % co_attention_heads:
            raise ValueError(
                f"co_attention_size ({co_attention_size}) must be a multiple of co_attention_heads "
                f"({co_attention_heads})."
            )


class ResidualAttention(nn.Module):
    """Attention of few dimensions that is added to its queries, and normalized."""

    def __init__(self, config: HCAMConfig):
        super().__init__()
        self.num_heads = config.co_attention_heads
        self.attention_dropout = config.co_attention_dropout
        self.query = nn.Linear(config.hidden_size, config.co_attention_size)
        self.key = nn.Linear(config.hidden_size, config.co_attention_size)
        self.value = nn.Linear(config.hidden_size, config.co_attention_size)
        self.output = nn.Linear(config.co_attention_size, config.hidden_size)
        self.norm = nn.LayerNorm(config.hidden_size)
        self.dropout = nn.Dropout(config.residual_dropout)

    def forward(self, query: torch.Tensor, memory: torch.Tensor, memory_mask: torch.Tensor) -> torch.Tensor:
        """Return states (B, q, d) of queries (B, q, d) and a memory (B, k, d) with mask (B, k), bool."""
        q, k, v = (
            layer(states).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for layer, states in ((self.query, query), (self.key, memory), (self.value, memory))
        )
        dropout = self.attention_dropout if self.training else 0.0
        attended = F.scaled_dot_product_attention(q, k, v, memory_mask[:, None, None, :], dropout)
        return self.norm(query + self.dropout(self.output(attended.transpose(1, 2).flatten(2))))


class CoAttention(nn.Module):
    """A layer of stage III: each modality attends to the other as it was before the layer, then to itself."""

    def __init__(self, config: HCAMConfig):
        super().__init__()
        self.text_to_frames = ResidualAttention(config)
        self.speech_to_tokens = ResidualAttention(config)
        self.text_self = ResidualAttention(config)
        self.speech_self = ResidualAttention(config)

    def forward(
        self, speech: torch.Tensor, text: torch.Tensor, frame_mask: torch.Tensor, text_mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return both (B, m, d) and (B, n, d) of `speech` (B, m, d) and `text` (B, n, d) with their masks, bool."""
        attended_text = self.text_to_frames(text, speech, frame_mask)
        attended_speech = self.speech_to_tokens(speech, text, text_mask)
        return (
            self.speech_self(attended_speech, attended_speech, frame_mask),
            self.text_self(attended_text, attended_text, text_mask),
        )


class HCAMModel(EmotionModel):
    """Speech and ASR hypothesis in, emotion out; each utterance without its dialogue."""

    config: HCAMConfig
    config_class = HCAMConfig
    title = "HCAM without its dialogue stage"

    def __init__(self, config: HCAMConfig):
        super().__init__(config)
        width = config.hidden_size
        self.text_gru = BidirectionalLayer(nn.GRU, width, width)
        self.text_projection = nn.Linear(2 * width, width)
        self.speech_pooling = AttentionPooling(width)
        self.text_pooling = AttentionPooling(width)
        self.speech_classifier = nn.Linear(width, config.num_emotions)
        self.text_classifier = nn.Linear(width, config.num_emotions)
        self.co_attention = nn.ModuleList(CoAttention(config) for _ in range(config.co_attention_layers))
        self.speech_residual = nn.Linear(width, width)
        self.text_residual = nn.Linear(width, width)
        self.fusion_norm = nn.LayerNorm(2 * width)
        self.fusion = nn.Linear(2 * width, width)
        self.add_head(width)

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

        With labels, `auxiliary_losses` holds "unimodal" and "supervised_contrastive".
        """
        text_states, text_mask = self.encode_text(input_ids, text_attention_mask)
        speech, frame_mask = self.encode_speech(input_values, attention_mask, speech_hidden_states)
        text = self.text_projection(self.text_gru(text_states, text_mask))
        unimodal = self.speech_pooling(speech, frame_mask), self.text_pooling(text, text_mask)
        for layer in self.co_attention:
            speech, text = layer(speech, text, frame_mask, text_mask)
        speech_embedding = masked_mean(speech, frame_mask) + self.speech_residual(unimodal[0])
        text_embedding = masked_mean(text, text_mask) + self.text_residual(unimodal[1])
        both = torch.cat([text_embedding, speech_embedding], dim=-1)
        embeddings = F.relu(self.fusion(self.fusion_norm(both)))
        logits, loss = self.predict_emotions(embeddings, labels)
        output = EmotionOutput(
            loss=loss,
            logits=logits,
            embeddings=embeddings,
            frame_mask=frame_mask.long(),
            text_hidden_states=text_states,
        )
        if labels is not None:
            output.auxiliary_losses = {
                "unimodal": self.config.unimodal_weight * self._unimodal_loss(*unimodal, labels),
                "supervised_contrastive": self.config.supervised_contrastive_weight
                * contrastive_loss(
                    torch.cat([speech_embedding, text_embedding]),
                    labels.repeat(2),
                    self.config.contrastive_temperature,
                ),
            }
        return output if return_dict is not False else output.to_tuple()

    def _unimodal_loss(self, speech: torch.Tensor, text: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the sum (B,) of the cross-entropies of stage I, of embeddings (B, d) of each modality."""
        speech_logits = self.speech_classifier(self.dropout(speech)).float()
        text_logits = self.text_classifier(self.dropout(text)).float()
        speech_loss = F.cross_entropy(speech_logits, labels, reduction="none")
        return speech_loss + F.cross_entropy(text_logits, labels, reduction="none")
