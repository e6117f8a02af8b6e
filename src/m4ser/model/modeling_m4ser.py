"""M4SER as a transformers model: the whole network of Fig. 2, one class."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from .base_m4ser import EmotionModel, EmotionOutput
from .configuration_m4ser import M4SERConfig
from .correction_m4ser import CHANGE, KEEP, CorrectionDecoder, apply_corrections, decode_tags, rewriting_tags
from .fusion_m4ser import MultimodalFusion, masked_mean
from .pipeline_m4ser import M4SERPipeline  # noqa: F401  saving a model copies the files that this one imports


@dataclass
class M4SEROutput(EmotionOutput):
    """[`EmotionOutput`] with representations and auxiliary tasks. K replacements of c tokens.

    Args:
        embeddings (B, d): H_ST^(ap) of eq. 17.
        speech_specific, text_specific, invariant (B, m, d): the streams of eq. 9, 10 and 13 that are built.
        aed_logits (B, n, 3): KEEP, DELETE, CHANGE (eq. 2), when `detect_errors` is set.
        aec_logits (K, c, vocabulary): replacements (eq. 6), when `correction_ids` are given.
    """

    speech_specific: torch.Tensor | None = None
    text_specific: torch.Tensor | None = None
    invariant: torch.Tensor | None = None
    aed_logits: torch.Tensor | None = None
    aec_logits: torch.Tensor | None = None


@dataclass
class Correction:
    """A corrected hypothesis.

    Args:
        tags: KEEP, DELETE or CHANGE for each token of the input.
        token_ids: the corrected text's tokens.
        probabilities: of each tag; that of a CHANGE times its replacement's (the geometric mean of its tokens').
        replacements: what the decoder wrote, by the index of the token.
    """

    tags: list
    token_ids: list
    probabilities: list
    replacements: dict


class M4SERModel(EmotionModel):
    """Speech and ASR hypothesis in, emotion out (Fig. 2).

    ```
    input_values ─> SpeechEncoder ─> H_S ─┐
                                          ├─> MultimodalFusion ─> mean over time ─> emotion head ─> logits
    input_ids ────> TextEncoder ───> H_T ─┤
                                          ├─> error detection (KEEP, DELETE, CHANGE)   when asked for
                                          └─> error correction (CHANGE positions)      when asked for
    ```
    """

    config: M4SERConfig
    config_class = M4SERConfig
    title = "M4SER"
    training_options: ClassVar[dict] = {"detect_errors": True}

    def __init__(self, config: M4SERConfig):
        super().__init__(config)
        self.fusion = MultimodalFusion(config) if config.is_multimodal else None
        has_text = self.text_encoder is not None
        if has_text and "detection" in config.auxiliary_tasks:
            self.error_detector = nn.Linear(config.hidden_size, 3)
        if has_text and "correction" in config.auxiliary_tasks:
            self.error_corrector = CorrectionDecoder(config, self.get_input_embeddings().embedding_dim)
        self.add_head(config.hidden_size)

    def forward(
        self,
        input_values=None,
        attention_mask=None,
        input_ids=None,
        text_attention_mask=None,
        labels=None,
        detect_errors=False,
        correction_positions=None,
        correction_ids=None,
        return_dict=None,
    ):
        """One pass through the network.

        Args:
            input_values (B, samples), attention_mask (B, samples): 16 kHz waveforms, right-padded; or what the
                speech encoder made of them before, (B, m, d_S) and (B, m).
            input_ids (B, n), text_attention_mask (B, n): hypotheses, right-padded.
            labels (B,): emotions; gives `loss`.
            detect_errors: compute `aed_logits`.
            correction_positions (K, 2): row and token of each CHANGE.
            correction_ids (K, c): the replacements, each closed by EOS and then -100; gives `aec_logits`.

        Returns:
            [`M4SEROutput`], or its values as a tuple where `return_dict` is False.
        """
        output = M4SEROutput()
        if self.text_encoder is not None:
            if text_attention_mask is None:
                text_attention_mask = torch.ones_like(input_ids)
            output.text_hidden_states = self.text_encoder(input_ids, text_attention_mask)
            self._read_errors(output, text_attention_mask, detect_errors, correction_positions, correction_ids)
        streams = self._represent(output, input_values, attention_mask, text_attention_mask)
        # Concatenation in time, then pooling, is the mean of the streams' means (eq. 16 and 17).
        output.embeddings = torch.stack([masked_mean(states, output.frame_mask) for states in streams]).mean(0)
        output.logits, output.loss = self.predict_emotions(output.embeddings, labels)
        output = M4SEROutput(**output)  # so that a tuple has the order of the fields, whatever was computed first
        return output if return_dict is not False else output.to_tuple()

    def _represent(self, output, input_values, attention_mask, text_attention_mask):
        """Fill in the representations of speech and text; return the streams (B, m, d) to pool."""
        if self.speech_encoder is None:
            output.frame_mask = text_attention_mask.bool()
            return [output.text_hidden_states]
        speech, output.frame_mask = self.speech_encoder(input_values, attention_mask)
        if self.fusion is None:
            return [speech]
        streams = self.fusion(speech, output.text_hidden_states, output.frame_mask, text_attention_mask.bool())
        for name in ("speech_specific", "text_specific", "invariant"):
            setattr(output, name, streams.get(name))
        return list(streams.values())

    def _read_errors(self, output, text_attention_mask, detect_errors, correction_positions, correction_ids):
        if self.error_detector is not None and detect_errors:
            output.aed_logits = self.error_detector(output.text_hidden_states)
        if self.error_corrector is not None and correction_ids is not None:
            rows, positions = correction_positions.unbind(-1)
            output.aec_logits = self.error_corrector(
                self.error_corrector.shift_right(correction_ids),
                output.text_hidden_states[rows, positions],
                output.text_hidden_states[rows],
                text_attention_mask.bool()[rows],
                self.get_input_embeddings(),
            )

    @torch.no_grad()
    def correct(self, input_ids, text_attention_mask=None, text_hidden_states=None):
        """Correct hypotheses: detect, then rewrite all CHANGE positions of the batch in parallel.

        The config's `correction_threshold` says how sure of an error detection must be. A model without detection
        rewrites each text as a whole.

        Args:
            input_ids (B, n), text_attention_mask (B, n): hypotheses as the tokenizer gives them.
            text_hidden_states (B, n, d): those of an earlier forward, to save the text encoder's work.

        Returns:
            A list of B [`Correction`].

        Raises:
            ValueError: this model was built without correction.
        """
        if self.error_corrector is None:
            raise ValueError('Correcting a text needs auxiliary_tasks=["detection", "correction"] in the config.')
        if text_attention_mask is None:
            text_attention_mask = torch.ones_like(input_ids)
        mask = text_attention_mask.bool()
        if text_hidden_states is None:
            text_hidden_states = self.text_encoder(input_ids, text_attention_mask)
        tags, probabilities = self._tag(input_ids, text_hidden_states)
        last = mask.sum(-1, keepdim=True) - 1  # [SEP] is no token of the hypothesis
        readable = torch.arange(input_ids.shape[1], device=input_ids.device) < last
        rows, positions = places = ((tags == CHANGE) & readable).nonzero(as_tuple=True)
        replacements, certainty = self.error_corrector.generate(
            text_hidden_states[rows, positions],
            text_hidden_states[rows],
            mask[rows],
            self.get_input_embeddings(),
        )
        probabilities[places] *= certainty
        # Without detection there is no text to fall back on.
        threshold = 0.0 if self.error_detector is None else self.config.correction_threshold or 0.0
        tags = tags.masked_fill((tags == CHANGE) & readable & (probabilities < threshold), KEEP)
        by_row = [{} for _ in range(len(input_ids))]
        for row, position, replacement in zip(rows.tolist(), positions.tolist(), replacements, strict=True):
            by_row[row][position] = replacement
        by_token = zip(input_ids.tolist(), tags.tolist(), probabilities.tolist(), mask.sum(-1).tolist(), strict=True)
        return [
            Correction(tags[:n], apply_corrections(ids[:n], tags[:n], replacements), probabilities[:n], replacements)
            for (ids, tags, probabilities, n), replacements in zip(by_token, by_row, strict=True)
        ]

    def _tag(self, input_ids, text_hidden_states):
        """KEEP, DELETE or CHANGE for each token, and how probable that is: (B, n) each."""
        if self.error_detector is None:
            return rewriting_tags(input_ids), torch.ones(input_ids.shape, device=input_ids.device)
        aed_logits = self.error_detector(text_hidden_states).float()  # a threshold would be rounded to half precision
        tags = decode_tags(aed_logits, self.config.correction_threshold)
        return tags, aed_logits.softmax(-1).gather(-1, tags[..., None]).squeeze(-1)


M4SERModel.register_for_auto_class("AutoModel")
