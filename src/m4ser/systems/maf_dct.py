"""MAF-DCT, with two kinds of acoustic features, as far as its abstract describes it, on M4SER's own encoders.

Wu et al., "Multi-modal emotion recognition using multiple acoustic features and dual cross-modal transformer",
ICASSP 2024, 10496-10500. Self-supervised frames may lose paralinguistic information, so a spectral view of the same
waveform joins them. A dual cross-modal transformer lets the text interact with each of the two, unaligned. The
blended loss has two unimodal losses beside the multimodal one.

```
input_values ─┬─> SpeechEncoder ───────────────> S ─┬─ X(T, S), X(S, T) ─ means over time ─┐
              └─> log-mel ─> convolutions, LSTM ─> P ─┼─ X(T, P), X(P, T) ─ means over time ─┴─> emotion
input_ids ──────> TextEncoder ─────────────────> T ─┘
```

Left open in the abstract, and chosen here: 80 log-mel powers of 25 ms every 10 ms; their encoder of two convolutions
that halve the rate each, and an LSTM in both directions; one layer in each direction for each kind of features; the
means over time are concatenated; the unimodal losses are of the text alone and of both acoustic features together,
each from means over time; both weigh 1.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from m4ser.model.base_m4ser import EmotionModel, EmotionOutput
from m4ser.model.fusion_m4ser import CrossModalEncoder, masked_mean
from m4ser.systems.common.bimodal import BimodalConfig
from m4ser.systems.common.publication import Publication
from m4ser.systems.common.recurrent import BidirectionalLSTM
from m4ser.systems.common.spectrogram import log_mel_spectrogram

PUBLICATION = Publication(
    'Wu et al., "Multi-modal emotion recognition using multiple acoustic features and dual cross-modal transformer", '
    "ICASSP 2024",
    fidelity="C",
)


class MAFDCTConfig(BimodalConfig):
    """[`BimodalConfig`].

    Args:
        num_mels (`int`): of the spectral features.
        unimodal_weight (`float`): of both unimodal losses.

    Raises:
        ValueError: as of [`BimodalConfig`], or no mels.
    """

    model_type = "maf_dct"

    def __init__(self, *args: Any, num_mels: int = 80, unimodal_weight: float = 1.0, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.num_mels = num_mels
        self.unimodal_weight = unimodal_weight
        if num_mels < 1:
            raise ValueError(f"num_mels is a whole number above 0, not {num_mels!r}.")


class SpectralEncoder(nn.Module):
    """Log-mel powers every 10 ms to states every 40 ms."""

    def __init__(self, config: MAFDCTConfig):
        super().__init__()
        width = config.hidden_size
        self.num_mels = config.num_mels
        self.convolutions = nn.ModuleList(
            nn.Conv1d(size, width, kernel_size=3, stride=2, padding=1) for size in (config.num_mels, width)
        )
        self.lstm = BidirectionalLSTM(width, width)
        self.projection = nn.Linear(2 * width, width)

    def forward(
        self, input_values: torch.Tensor, attention_mask: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return states (B, f, d) of waveforms (B, samples), and their mask (B, f), bool."""
        mels, mask = log_mel_spectrogram(input_values, attention_mask, self.num_mels)
        counts = mask.sum(-1)
        states = mels.to(self.projection.weight.dtype).transpose(1, 2)
        for convolution in self.convolutions:
            # Zeros behind a row's last step, as there are behind the longest row's.
            states = F.gelu(convolution(states * mask[:, None]))
            counts = (counts + 1) // 2
            mask = torch.arange(states.shape[-1], device=states.device) < counts[:, None]
        return self.projection(self.lstm(states.transpose(1, 2), mask)), mask


class CrossModalTransformer(nn.Module):
    """Text and one kind of acoustic features, each attending to the other."""

    def __init__(self, config: MAFDCTConfig):
        super().__init__()
        self.text_query_cme = CrossModalEncoder(config)
        self.speech_query_cme = CrossModalEncoder(config)

    def forward(
        self, text: torch.Tensor, speech: torch.Tensor, text_mask: torch.Tensor, frame_mask: torch.Tensor
    ) -> torch.Tensor:
        """Return both means over time, (B, 2 * d), of `text` (B, n, d) and `speech` (B, m, d) with masks, bool."""
        attended_text = masked_mean(self.text_query_cme(text, speech, frame_mask), text_mask)
        attended_speech = masked_mean(self.speech_query_cme(speech, text, text_mask), frame_mask)
        return torch.cat([attended_text, attended_speech], dim=-1)


class MAFDCTModel(EmotionModel):
    """Speech and ASR hypothesis in, emotion out; it detects and corrects no errors."""

    config: MAFDCTConfig
    config_class = MAFDCTConfig
    title = "MAF-DCT"
    needs_waveforms = True

    def __init__(self, config: MAFDCTConfig):
        super().__init__(config)
        self.spectral_encoder = SpectralEncoder(config)
        self.ssl_transformer = CrossModalTransformer(config)
        self.spectral_transformer = CrossModalTransformer(config)
        self.text_classifier = nn.Linear(config.hidden_size, config.num_emotions)
        self.speech_classifier = nn.Linear(2 * config.hidden_size, config.num_emotions)
        self.add_head(4 * config.hidden_size)

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
        """Predict emotions; arguments as of [`M4SERModel`]. With labels, `auxiliary_losses` holds "unimodal".

        Raises:
            ValueError: precomputed frames, which have no spectrum.
        """
        text, text_mask = self.encode_text(input_ids, text_attention_mask)
        speech, frame_mask = self.encode_speech(input_values, attention_mask, speech_hidden_states)
        assert input_values is not None  # or it would have been refused
        spectral, spectral_mask = self.spectral_encoder(input_values, attention_mask)
        fused = (
            self.ssl_transformer(text, speech, text_mask, frame_mask),
            self.spectral_transformer(text, spectral, text_mask, spectral_mask),
        )
        embeddings = torch.cat(fused, dim=-1)
        logits, loss = self.predict_emotions(embeddings, labels)
        output = EmotionOutput(
            loss=loss,
            logits=logits,
            embeddings=embeddings,
            frame_mask=frame_mask.long(),
            text_hidden_states=text,
        )
        if labels is not None:
            acoustic = torch.cat([masked_mean(speech, frame_mask), masked_mean(spectral, spectral_mask)], dim=-1)
            unimodal = self._unimodal_loss(masked_mean(text, text_mask), acoustic, labels)
            output.auxiliary_losses = {"unimodal": self.config.unimodal_weight * unimodal}
        return output if return_dict is not False else output.to_tuple()

    def _unimodal_loss(self, text: torch.Tensor, acoustic: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the sum (B,) of both cross-entropies, of `text` (B, d) and `acoustic` (B, 2 * d)."""
        text_logits = self.text_classifier(self.dropout(text)).float()
        speech_logits = self.speech_classifier(self.dropout(acoustic)).float()
        text_loss = F.cross_entropy(text_logits, labels, reduction="none")
        return text_loss + F.cross_entropy(speech_logits, labels, reduction="none")
