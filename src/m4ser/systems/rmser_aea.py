"""RMSER-AEA, which adapts to ASR errors, as far as later papers describe it, on M4SER's own encoders.

Lin and Wang, "Robust multi-modal speech emotion recognition with ASR error adaptation", ICASSP 2023. An auxiliary
task detects ASR errors in the hypothesis, which gives each word a trust weight; acoustic representations, weighted by
attention, complement the text where it is not to be trusted; both are fused.

```
T (B, n, d) ─┬─ error detection ─> KEEP, DELETE, CHANGE;  trust p = P(KEEP)
             ├─────────────────────── T ── p ──────┐
S (B, m, d) ─┴─ CME (query T, memory S) ── 1 - p ──┴─> sum ─> mean over tokens ─┐
S ─────────────────────────────────────────────────────────> mean over frames ──┴─> [ ; ] ─> emotion
```

From what the papers of MF-AED-AEC and M4SER say of it; left open there, and chosen here: errors are detected as in
M4SER, by its three tags and its loss, and the probability of KEEP is a token's trust; one cross-modal encoder gives
each token its acoustic representation; the trust mixes the two; means over time are concatenated. The emotion's
gradient reaches the detection, too; of [SEP], for which there is no tag, it alone trains the trust.
"""

from dataclasses import dataclass

import torch
from torch import nn

from m4ser.model.base_m4ser import EmotionModel, EmotionOutput
from m4ser.model.correction_m4ser import KEEP
from m4ser.model.fusion_m4ser import CrossModalEncoder, masked_mean
from m4ser.systems.common.bimodal import BimodalConfig
from m4ser.systems.common.publication import Publication

PUBLICATION = Publication(
    'Lin and Wang, "Robust multi-modal speech emotion recognition with ASR error adaptation", ICASSP 2023',
    fidelity="C",
)
NUM_TAGS = 3  # KEEP, DELETE, CHANGE


@dataclass
class RMSERAEAOutput(EmotionOutput):
    """[`EmotionOutput`] with the auxiliary task.

    Args:
        aed_logits (B, n, 3): KEEP, DELETE, CHANGE, which the objective table's `error_detection` trains.
    """

    aed_logits: torch.Tensor | None = None


class RMSERAEAConfig(BimodalConfig):
    """[`BimodalConfig`]."""

    model_type = "rmser_aea"


class RMSERAEAModel(EmotionModel):
    """Speech and ASR hypothesis in, emotion out; it detects errors and corrects none."""

    config_class = RMSERAEAConfig
    title = "RMSER-AEA"

    error_detector: nn.Linear

    def __init__(self, config: RMSERAEAConfig):
        super().__init__(config)
        self.error_detector = nn.Linear(config.hidden_size, NUM_TAGS)
        self.text_query_cme = CrossModalEncoder(config)
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
    ) -> RMSERAEAOutput | tuple:
        """Predict emotions and detect errors; arguments as of [`M4SERModel`]."""
        text, text_mask = self.encode_text(input_ids, text_attention_mask)
        speech, frame_mask = self.encode_speech(input_values, attention_mask, speech_hidden_states)
        aed_logits = self.error_detector(text)
        trust = aed_logits.float().softmax(-1)[..., KEEP, None].to(text.dtype)
        complemented = trust * text + (1 - trust) * self.text_query_cme(text, speech, frame_mask)
        embeddings = torch.cat([masked_mean(complemented, text_mask), masked_mean(speech, frame_mask)], dim=-1)
        logits, loss = self.predict_emotions(embeddings, labels)
        output = RMSERAEAOutput(
            loss=loss,
            logits=logits,
            embeddings=embeddings,
            frame_mask=frame_mask.long(),
            text_hidden_states=text,
            aed_logits=aed_logits,
        )
        return output if return_dict is not False else output.to_tuple()
