"""SAMS, the baseline of Tables VIII and IX, as far as its description goes, on M4SER's own encoders.

Hou et al., "Semantic alignment network for multi-modal emotion recognition", 2023, doi 10.1109/TCSVT.2023.3247822.
Each modality is encoded into two spaces. One finds its own affective information, the other learns the semantics of
the other modality, whose high-level emotion representation supervises it; their interaction within the modality is
what is fused.

From its abstract and what the M4SER paper says of it; left open there, and chosen here: the encoder of a space and
the interaction are a transformer layer each; an own space's target is the emotion, and its mean over time is the
high-level representation; the other space's mean is drawn to that by cosine distance, without a gradient to its
target; what is aligned over time is aligned by the interaction's attention alone; the modalities' means are
concatenated; all terms weigh 1.
"""

import torch
import torch.nn.functional as F
from torch import nn

from m4ser.model.base_m4ser import EmotionModel, EmotionOutput
from m4ser.model.fusion_m4ser import CrossModalEncoder, masked_mean
from m4ser.systems.common.bimodal import BimodalConfig
from m4ser.systems.common.publication import Publication

PUBLICATION = Publication(
    "Hou et al., IEEE Transactions on Circuits and Systems for Video Technology, 2023, doi 10.1109/TCSVT.2023.3247822",
    fidelity="C",
)


class SAMSConfig(BimodalConfig):
    """[`BimodalConfig`]."""

    model_type = "sams"


class Spaces(nn.Module):
    """The two spaces of one modality and their interaction."""

    def __init__(self, config: SAMSConfig):
        super().__init__()
        self.own = CrossModalEncoder(config)
        self.learned = CrossModalEncoder(config)
        self.interaction = CrossModalEncoder(config)

    def forward(self, states: torch.Tensor, mask: torch.Tensor) -> list[torch.Tensor]:
        """Return the means over time (B, d) of both spaces and their interaction, of states (B, k, d), mask (B, k)."""
        own, learned = (space(states, states, mask) for space in (self.own, self.learned))
        return [masked_mean(space, mask) for space in (own, learned, self.interaction(own, learned, mask))]


class SAMSModel(EmotionModel):
    """Speech and ASR hypothesis in, emotion out; it detects and corrects no errors."""

    config_class = SAMSConfig
    title = "SAMS"

    def __init__(self, config: SAMSConfig):
        super().__init__(config)
        self.speech_spaces = Spaces(config)
        self.text_spaces = Spaces(config)
        self.speech_classifier = nn.Linear(config.hidden_size, config.num_emotions)
        self.text_classifier = nn.Linear(config.hidden_size, config.num_emotions)
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
        """Predict emotions; arguments as of [`M4SERModel`]. With labels, `auxiliary_losses` holds "spaces"."""
        text, text_mask = self.encode_text(input_ids, text_attention_mask)
        speech, frame_mask = self.encode_speech(input_values, attention_mask, speech_hidden_states)
        speech_own, speech_learned, speech_fused = self.speech_spaces(speech, frame_mask)
        text_own, text_learned, text_fused = self.text_spaces(text, text_mask)
        embeddings = torch.cat([speech_fused, text_fused], dim=-1)
        logits, loss = self.predict_emotions(embeddings, labels)
        output = EmotionOutput(
            loss=loss,
            logits=logits,
            embeddings=embeddings,
            frame_mask=frame_mask.long(),
            text_hidden_states=text,
        )
        if labels is not None:
            own = self.speech_classifier(self.dropout(speech_own)), self.text_classifier(self.dropout(text_own))
            emotions = sum(F.cross_entropy(scores.float(), labels, reduction="none") for scores in own)
            distances = _distance(speech_learned, text_own) + _distance(text_learned, speech_own)
            output.auxiliary_losses = {"spaces": emotions + distances}
        return output if return_dict is not False else output.to_tuple()


def _distance(learned: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Cosine distance (B,), from 0 to 2, of rows (B, d) from targets that do not move towards them."""
    return 1 - F.cosine_similarity(learned.float(), target.detach().float(), dim=-1)
