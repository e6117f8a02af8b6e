"""SAMS, M4SER's rival in Tables VIII and IX, as far as its description goes, on M4SER's own encoders.

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

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from m4ser.model.configuration_m4ser import AUTO_MAP, M4SERConfig
from m4ser.model.fusion_m4ser import CrossModalEncoder, masked_mean
from m4ser.model.modeling_m4ser import M4SERModel, M4SEROutput


@dataclass
class SAMSOutput(M4SEROutput):
    """[`M4SEROutput`] with what trains the spaces.

    Args:
        space_logits (2, B, e): emotions from the own spaces of speech and text.
        space_distances (2, B): of what speech learnt of the text, and the text of speech, from 0 to 2.
    """

    space_logits: torch.FloatTensor | None = None
    space_distances: torch.FloatTensor | None = None


class SAMSConfig(M4SERConfig):
    """[`M4SERConfig`] of both modalities without M4SER's representations and tasks."""

    model_type = "sams"

    def __init__(self, **fields):
        super().__init__(**{**fields, "modalities": ["speech", "text"], "representations": [], "auxiliary_tasks": []})
        models = dict.fromkeys(("AutoModel", "AutoModelForAudioClassification"), "sams_m4ser.SAMSModel")
        self.auto_map = {**AUTO_MAP, "AutoConfig": "sams_m4ser.SAMSConfig", **models}


class Spaces(nn.Module):
    """The two spaces of one modality and their interaction."""

    def __init__(self, config):
        super().__init__()
        self.own = CrossModalEncoder(config)
        self.learnt = CrossModalEncoder(config)
        self.interaction = CrossModalEncoder(config)

    def forward(self, states, mask):
        """States (B, k, d) with mask (B, k) to the means over time of both spaces and their interaction, (B, d)."""
        own, learnt = (space(states, states, mask) for space in (self.own, self.learnt))
        return [masked_mean(space, mask) for space in (own, learnt, self.interaction(own, learnt, mask))]


class SAMSModel(M4SERModel):
    """Speech and ASR hypothesis in, emotion out; it detects and corrects no errors."""

    config_class = SAMSConfig

    def __init__(self, config):
        super().__init__(config)
        self.fusion = None
        self.speech_spaces = Spaces(config)
        self.text_spaces = Spaces(config)
        self.speech_classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.text_classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.classifier = nn.Linear(2 * config.hidden_size, config.num_labels)
        self.post_init()

    def forward(
        self,
        input_values=None,
        attention_mask=None,
        input_ids=None,
        text_attention_mask=None,
        labels=None,
        return_dict=None,
        **_,
    ):
        """As of [`M4SERModel`]; what that is asked about errors is not answered. Gives [`SAMSOutput`]."""
        if text_attention_mask is None:
            text_attention_mask = torch.ones_like(input_ids)
        text = self.text_encoder(input_ids, text_attention_mask)
        speech, frame_mask = self.speech_encoder(input_values, attention_mask)
        heard, heard_learnt, heard_fused = self.speech_spaces(speech, frame_mask)
        read, read_learnt, read_fused = self.text_spaces(text, text_attention_mask.bool())
        embeddings = torch.cat([heard_fused, read_fused], dim=-1)
        own = self.speech_classifier(self.dropout(heard)), self.text_classifier(self.dropout(read))
        distances = [_distance(heard_learnt, read), _distance(read_learnt, heard)]
        logits = self.classifier(self.dropout(embeddings))
        output = SAMSOutput(
            loss=None if labels is None else F.cross_entropy(logits, labels),
            logits=logits,
            embeddings=embeddings,
            frame_mask=frame_mask,
            text_hidden_states=text,
            space_logits=torch.stack(own),
            space_distances=torch.stack(distances),
        )
        return output if return_dict is not False else output.to_tuple()


def _distance(learnt, target):
    """Cosine distance of rows (B, d) from targets that do not move towards them."""
    return 1 - F.cosine_similarity(learnt.float(), target.detach().float(), dim=-1)


SAMSConfig.register_for_auto_class()
SAMSModel.register_for_auto_class("AutoModel")
