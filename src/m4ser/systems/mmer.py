"""MMER: early fusion by cross-modal attention and a gate, trained to recognize the words and group the emotions, too.

Ghosh, Tyagi, Ramaneswaran, Srivastava & Manocha, "MMER: Multimodal multi-task learning for speech emotion
recognition", Interspeech 2023, 1209-1213, arXiv 2203.16794.

```
A: frames, T: tokens       T' = self-attention of T
P = X(A, T')               frames that know the text              X(q, kv): a cross-modal transformer layer
R = X(T', P)               tokens that know those frames
Q = X(T', A)               tokens that know the frames themselves
M = [R ; g * Q],           g = sigmoid(W [R ; Q])
z = [max A ; W' max M]     maxima over time; emotions are predicted from z
```

Besides the emotions, the frames A predict the transcript's characters (CTC), and a projection of z is drawn to those
of the batch that share the emotion (supervised contrastive loss).

Not built: ACL, the third auxiliary loss, which needs each text back-translated and spoken anew in another voice. M4SER
compares itself with MMER without it, too.

Chosen here: the speech encoder is HuBERT, not wav2vec 2.0; texts are ASR hypotheses, transcripts serve as targets of
CTC alone; CTC is summed over a recording's frames and averaged over recordings, where the published code sums over a
batch (of 2); the contrastive loss is Khosla et al.'s, a sample being no positive of itself, where the published code
counts it and divides by the temperature after the log-softmax; padding is masked everywhere.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from m4ser.losses import recognition_loss, supervised_contrastive_loss
from m4ser.model.base_m4ser import EmotionModel, EmotionOutput
from m4ser.model.configuration_m4ser import ENGLISH_CHARACTERS
from m4ser.model.fusion_m4ser import CrossModalEncoder
from m4ser.model.recognition_m4ser import character_labels
from m4ser.systems.common.bimodal import BimodalConfig
from m4ser.systems.common.config_checks import check_at_least
from m4ser.systems.common.pooling import masked_max
from m4ser.systems.common.publication import Publication

PUBLICATION = Publication(
    "Ghosh et al., Interspeech, 2023, arXiv 2203.16794",
    fidelity="A",
    figures={"IEMOCAP": {"WA": 79.8}},
    caveat="Without ACL, as here (81.2 with it); the epoch was chosen on the test session, and the published code "
    "calls the mean recall WA.",
)


class MMERConfig(BimodalConfig):
    """[`BimodalConfig`], with the published values by default.

    Args:
        recognition_weight (`float`): of CTC. supervised_contrastive_weight (`float`): of the contrastive loss.
        supervised_contrastive_temperature (`float`): what it divides dot products by.
        characters (`str`): those of transcripts that CTC predicts, in lower case; others are left out.

    Raises:
        ValueError: as of [`BimodalConfig`], a weight below 0, a temperature that is not above 0, or no characters,
            one twice or in upper case.
    """

    model_type = "mmer"

    def __init__(
        self,
        *args: Any,
        classifier_dropout: float = 0.0,
        recognition_weight: float = 0.1,
        supervised_contrastive_weight: float = 0.1,
        supervised_contrastive_temperature: float = 0.07,
        characters: str = ENGLISH_CHARACTERS,
        **kwargs: Any,
    ):
        self.recognition_weight = recognition_weight
        self.supervised_contrastive_weight = supervised_contrastive_weight
        self.supervised_contrastive_temperature = supervised_contrastive_temperature
        self.characters = characters
        check_at_least(self, 0, "recognition_weight", "supervised_contrastive_weight")
        check_at_least(self, 1e-6, "supervised_contrastive_temperature")
        if not characters or len(set(characters)) < len(characters) or characters != characters.lower():
            raise ValueError(f"characters has each character once, in lower case, not {characters!r}.")
        super().__init__(*args, classifier_dropout=classifier_dropout, **kwargs)


class GatedFusion(nn.Module):
    """Tokens that have attended to speech in two ways, one of them through a gate."""

    def __init__(self, config: MMERConfig):
        super().__init__()
        width = config.hidden_size
        self.text_layer = CrossModalEncoder(config)
        self.speech_query_projection = nn.Linear(width, width)
        self.speech_memory_projection = nn.Linear(width, width)
        self.speech_query_cme = CrossModalEncoder(config)
        self.fused_memory_cme = CrossModalEncoder(config)
        self.speech_memory_cme = CrossModalEncoder(config)
        self.gate = nn.Linear(2 * width, width)

    def forward(
        self, speech: torch.Tensor, text: torch.Tensor, frame_mask: torch.Tensor, text_mask: torch.Tensor
    ) -> torch.Tensor:
        """Return tokens (B, n, 2d) of `speech` (B, m, d) and `text` (B, n, d) with masks (B, m), (B, n), bool."""
        text = self.text_layer(text, text, text_mask)  # T'
        text_aware = self.speech_query_cme(self.speech_query_projection(speech), text, text_mask)  # P
        from_fused = self.fused_memory_cme(text, text_aware, frame_mask)  # R
        from_speech = self.speech_memory_cme(text, self.speech_memory_projection(speech), frame_mask)  # Q
        gate = torch.sigmoid(self.gate(torch.cat([from_fused, from_speech], dim=-1)))
        return torch.cat([from_fused, gate * from_speech], dim=-1)  # M


class MMERModel(EmotionModel):
    """Speech and text in, emotion out; training needs transcripts for its CTC."""

    config_class = MMERConfig
    title = "MMER"

    def __init__(self, config: MMERConfig):
        super().__init__(config)
        width = config.hidden_size
        self.encoder_dropout = nn.Dropout(config.hidden_dropout)
        self.fusion = GatedFusion(config)
        self.fused_projection = nn.Linear(2 * width, width)
        self.character_classifier = nn.Linear(width, 1 + len(config.characters))
        self.contrastive_projection = nn.Sequential(nn.Linear(2 * width, width), nn.GELU(), nn.Linear(width, width))
        self.add_head(2 * width)

    def forward(
        self,
        input_values: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        input_ids: torch.Tensor | None = None,
        text_attention_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        transcripts: Sequence[str | None] | None = None,
        speech_hidden_states: torch.Tensor | None = None,
        return_dict: bool | None = None,
    ) -> EmotionOutput | tuple:
        """Predict emotions; arguments as of [`M4SERModel`], `transcripts` are B human transcripts or None.

        With labels, `auxiliary_losses` holds "recognition" (B,) and "supervised_contrastive", a scalar.
        """
        text, text_mask = self.encode_text(input_ids, text_attention_mask)
        speech, frame_mask = self.encode_speech(input_values, attention_mask, speech_hidden_states)
        speech = self.encoder_dropout(speech)
        fused = self.fusion(speech, self.encoder_dropout(text), frame_mask, text_mask)
        pooled = self.fused_projection(masked_max(fused, text_mask))
        embeddings = torch.cat([masked_max(speech, frame_mask), pooled], dim=-1)  # z
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
                "characters": self._recognition_loss(speech, frame_mask, transcripts or [None] * len(labels)),
                "supervised_contrastive": self._contrastive_loss(embeddings, labels),
            }
        return output if return_dict is not False else output.to_tuple()

    def _recognition_loss(
        self, speech: torch.Tensor, frame_mask: torch.Tensor, transcripts: Sequence[str | None]
    ) -> torch.Tensor:
        targets = character_labels(transcripts, ["", *self.config.characters], speech.device)
        return self.config.recognition_weight * recognition_loss(
            self.character_classifier(speech), frame_mask, targets
        )

    def _contrastive_loss(self, embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        projected = self.contrastive_projection(embeddings).float()
        similarity = projected @ projected.T / self.config.supervised_contrastive_temperature
        return self.config.supervised_contrastive_weight * supervised_contrastive_loss(similarity, labels)
