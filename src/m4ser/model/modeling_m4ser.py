"""M4SER as a transformers model: the whole network of Fig. 2, one class."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn
from transformers import AutoModelForCTC

from .base_m4ser import EmotionModel, EmotionOutput, missing_input
from .configuration_m4ser import M4SERConfig
from .correction_m4ser import CHANGE, KEEP, CorrectionDecoder, apply_corrections, decode_tags, rewriting_tags
from .fusion_m4ser import MultimodalFusion, masked_mean
from .pipeline_m4ser import M4SERPipeline  # noqa: F401  saving a model copies the files that this one imports
from .recognition_m4ser import (
    RecognitionHead,
    Transcription,
    blank_first,
    checkpoint_vocabulary,
    decode,
    has_recognition_head,
)
from .recording_m4ser import Recorded, Selection


@dataclass
class M4SEROutput(EmotionOutput):
    """[`EmotionOutput`] with representations and auxiliary tasks. K replacements of c tokens.

    Args:
        embeddings (B, d): H_ST^(ap) of eq. 17.
        speech_specific, text_specific, invariant (B, m, d): the streams of eq. 9, 10 and 13 that are built.
        aed_logits (B, n, 3): KEEP, DELETE, CHANGE (eq. 2), when `detect_errors` is set.
        aec_logits (K, c, vocabulary): replacements (eq. 6), when `correction_ids` are given.
        recognition_logits (B, m, characters): of the CTC head, when `recognize` is set.
        hidden_states: by encoder, "speech_encoder" and "text_encoder", the input of its first layer (B, m or n, width)
            and the output of each, when `output_hidden_states` is set.
        attentions: by part, the weights (B, heads, queries, keys) of each layer, when `output_attentions` is set and
            the attention is eager. "speech_encoder" (frames over frames), "text_encoder" (tokens over tokens), and of
            one layer each: "text_query_cme" (eq. 8: tokens over frames), "speech_query_cme" (eq. 9: frames over
            tokens), "text_specific" (eq. 10: frames over tokens), "invariant_speech" and "invariant_text" (eq. 14:
            frames over frames).
    """

    speech_specific: torch.Tensor | None = None
    text_specific: torch.Tensor | None = None
    invariant: torch.Tensor | None = None
    aed_logits: torch.Tensor | None = None
    aec_logits: torch.Tensor | None = None
    recognition_logits: torch.Tensor | None = None
    hidden_states: Recorded | None = None
    attentions: Recorded | None = None


@dataclass
class Correction:
    """A corrected hypothesis.

    Args:
        tags: KEEP, DELETE or CHANGE for each token of the input.
        token_ids: the corrected text's tokens.
        probabilities: of each tag; that of a CHANGE times its replacement's (the geometric mean of its tokens').
        replacements: the decoder's tokens, by the index of the token that they replace.
    """

    tags: list[int]
    token_ids: list[int]
    probabilities: list[float]
    replacements: dict[int, list[int]]


class M4SERModel(EmotionModel):
    """Speech and ASR hypothesis in, emotion out (Fig. 2).

    ```
                                          ┌─> recognition (CTC)                      when requested
    input_values ─> SpeechEncoder ─> H_S ─┤
                                          ├─> MultimodalFusion ─> mean over time ─> emotion head ─> logits
    input_ids ────> TextEncoder ───> H_T ─┤
                                          ├─> error detection (KEEP, DELETE, CHANGE)   when requested
                                          └─> error correction (CHANGE positions)      when requested
    ```
    """

    config: M4SERConfig
    config_class = M4SERConfig
    title = "M4SER"
    training_options: ClassVar[dict] = {"detect_errors": True, "recognize": True}

    error_detector: nn.Linear | None
    error_corrector: CorrectionDecoder | None
    recognition_head: RecognitionHead | None

    def __init__(self, config: M4SERConfig):
        super().__init__(config)
        self.fusion = MultimodalFusion(config) if config.is_multimodal else None
        embeddings = self.get_input_embeddings()
        if embeddings is not None and "detection" in config.auxiliary_tasks:
            self.error_detector = nn.Linear(config.hidden_size, 3)
        if embeddings is not None and "correction" in config.auxiliary_tasks:
            self.error_corrector = CorrectionDecoder(config, embeddings.embedding_dim)
        self.recognition_head = None
        if self.speech_encoder is not None and "recognition" in config.auxiliary_tasks:
            width, vocabulary = config.speech_config.hidden_size, config.recognition_vocabulary or ()
            self.recognition_head = RecognitionHead(width, vocabulary, config.hidden_dropout)
        self.add_head(config.hidden_size)

    @classmethod
    def from_encoders(cls, speech_id: str | None = None, text_id: str | None = None, **config: Any) -> "M4SERModel":
        """Return a new model around pretrained encoders, as of [`EmotionModel.from_encoders`].

        With the task "recognition", a speech encoder that was saved with a CTC head brings that and its vocabulary,
        unless the config gives a vocabulary.
        """
        recognizes = speech_id is not None and "recognition" in config.get("auxiliary_tasks", ())
        if not recognizes or "recognition_vocabulary" in config or not has_recognition_head(str(speech_id)):
            return super().from_encoders(speech_id, text_id, **config)
        vocabulary, blank = checkpoint_vocabulary(str(speech_id))
        model = super().from_encoders(
            speech_id, text_id, recognition_vocabulary=blank_first(vocabulary, blank), **config
        )
        if model.recognition_head is not None:
            trust = {"trust_remote_code": False, "dtype": torch.get_default_dtype()}
            ctc = AutoModelForCTC.from_pretrained(str(speech_id), **trust)
            rows = {name: blank_first(weight, blank) for name, weight in ctc.lm_head.state_dict().items()}
            model.recognition_head.lm_head.load_state_dict(rows)
        return model

    def attention_modules(self) -> dict[str, Sequence[nn.Module]]:
        """Return the fusion's attention by name, as [`M4SEROutput`] lists it."""
        return {} if self.fusion is None else self.fusion.attention_modules()

    def forward(
        self,
        input_values: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        input_ids: torch.Tensor | None = None,
        text_attention_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        detect_errors: bool = False,
        correction_positions: torch.Tensor | None = None,
        correction_ids: torch.Tensor | None = None,
        speech_hidden_states: torch.Tensor | None = None,
        recognize: bool = False,
        output_hidden_states: Selection | None = None,
        output_attentions: bool | None = None,
        return_dict: bool | None = None,
    ) -> M4SEROutput | tuple[Any, ...]:
        """Run the network once.

        Args:
            input_values (B, samples), attention_mask (B, samples): 16 kHz waveforms, right-padded.
            input_ids (B, n), text_attention_mask (B, n): hypotheses, right-padded.
            labels (B,): emotions; gives `loss`.
            detect_errors: compute `aed_logits`.
            correction_positions (K, 2): row and token of each CHANGE.
            correction_ids (K, c): the replacements, each closed by EOS and then -100; gives `aec_logits`.
            speech_hidden_states (B, m, d_S): instead of `input_values`, frames that the speech encoder gave before
                (`SpeechEncoder.encode`); `attention_mask` is theirs then, (B, m).
            recognize: compute `recognition_logits`.
            output_hidden_states, output_attentions: give `hidden_states` and `attentions`; the config's by default.
            return_dict: False for the output's values as a tuple; the config's by default.
        """
        output = M4SEROutput()
        speech = text = None
        with self.record_outputs(output_hidden_states, output_attentions) as recorder:
            if self.text_encoder is not None:
                text = self.encode_text(input_ids, text_attention_mask)
                output.text_hidden_states = text[0]
                if self.error_detector is not None and detect_errors:
                    output.aed_logits = self.error_detector(text[0])
                output.aec_logits = self._correction_logits(*text, correction_positions, correction_ids)
            if self.speech_encoder is not None:
                if self.recognition_head is not None and recognize:
                    # The head takes the encoder's own frames, from which the others go on.
                    frames = input_values, attention_mask, speech_hidden_states
                    speech_hidden_states, attention_mask = self.encode_frames(*frames)
                    output.recognition_logits = self.recognition_head(speech_hidden_states)
                speech = self.encode_speech(input_values, attention_mask, speech_hidden_states)
            streams, mask = self._represent(speech, text)
        for name in ("speech_specific", "text_specific", "invariant"):
            setattr(output, name, streams.get(name))
        output.frame_mask = mask.long()
        # Concatenation in time, then pooling, is the mean of the streams' means (eq. 16 and 17).
        output.embeddings = torch.stack([masked_mean(states, mask) for states in streams.values()]).mean(0)
        output.logits, output.loss = self.predict_emotions(output.embeddings, labels)
        output.hidden_states, output.attentions = recorder.results()
        # So that a tuple has the order of the fields, whatever was computed first.
        output = M4SEROutput(**vars(output))
        return_dict = self.config.return_dict if return_dict is None else return_dict
        return output if return_dict else output.to_tuple()

    def encode_frames(
        self,
        input_values: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        speech_hidden_states: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the speech encoder's own frames (B, m, d_S) and their mask (B, m), which `forward` takes, too.

        Args:
            input_values, attention_mask, speech_hidden_states: as of `forward`; frames that are given come back.
        """
        given = input_values if speech_hidden_states is None else speech_hidden_states
        if self.speech_encoder is None or given is None:
            raise ValueError(missing_input("speech", "input_values", self.speech_encoder))
        if attention_mask is None:
            attention_mask = torch.ones(given.shape[:2], dtype=torch.long, device=given.device)
        if speech_hidden_states is not None:
            return speech_hidden_states, attention_mask.bool()
        return self.speech_encoder.encode(given, attention_mask)

    @property
    def can_transcribe(self) -> bool:
        return self.recognition_head is not None

    @torch.no_grad()
    def transcribe(
        self,
        input_values: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        speech_hidden_states: torch.Tensor | None = None,
    ) -> list[Transcription]:
        """Transcribe recordings greedily, with the times of words.

        Args:
            input_values, attention_mask, speech_hidden_states: as of `forward`; with the frames of [`encode_frames`]
                the speech encoder does not run again.

        Returns:
            A list of B [`Transcription`].

        Raises:
            ValueError: this model was built without recognition.
        """
        if self.recognition_head is None or self.speech_encoder is None:
            raise ValueError('Transcribing needs "recognition" in the auxiliary_tasks of the config.')
        frames, mask = self.encode_frames(input_values, attention_mask, speech_hidden_states)
        vocabulary = self.config.recognition_vocabulary or ()
        return decode(self.recognition_head(frames), mask, vocabulary, self.speech_encoder.frame_seconds)

    def _represent(
        self, speech: tuple[torch.Tensor, torch.Tensor] | None, text: tuple[torch.Tensor, torch.Tensor] | None
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """Return the streams (B, m, d) to pool and their mask (B, m), of each modality's states and mask."""
        if speech is not None and text is not None:
            assert self.fusion is not None  # built with both encoders
            return self.fusion(speech[0], text[0], speech[1], text[1]), speech[1]
        if speech is not None:
            return {"speech": speech[0]}, speech[1]
        assert text is not None  # a config without any modality is refused
        return {"text": text[0]}, text[1]

    def _correction_logits(
        self,
        text: torch.Tensor,
        text_mask: torch.Tensor,
        correction_positions: torch.Tensor | None,
        correction_ids: torch.Tensor | None,
    ) -> torch.Tensor | None:
        if self.error_corrector is None or correction_positions is None or correction_ids is None:
            return None
        rows, positions = correction_positions.to(text.device).unbind(-1)
        return self.error_corrector(
            self.error_corrector.shift_right(correction_ids),
            text[rows, positions],
            text[rows],
            text_mask[rows],
            self.get_input_embeddings(),
        )

    @torch.no_grad()
    def correct(
        self,
        input_ids: torch.Tensor,
        text_attention_mask: torch.Tensor | None = None,
        text_hidden_states: torch.Tensor | None = None,
    ) -> list[Correction]:
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
        embeddings = self.get_input_embeddings()
        if self.error_corrector is None or embeddings is None:
            raise ValueError('Correcting a text needs auxiliary_tasks=["detection", "correction"] in the config.')
        if text_attention_mask is None:
            text_attention_mask = torch.ones_like(input_ids)
        mask = text_attention_mask.bool()
        if text_hidden_states is None:
            text_hidden_states, _ = self.encode_text(input_ids, text_attention_mask)
        tags, probabilities = self._tag(input_ids, text_hidden_states)
        last = mask.sum(-1, keepdim=True) - 1  # [SEP] is no token of the hypothesis
        changed = (tags == CHANGE) & (torch.arange(input_ids.shape[1], device=input_ids.device) < last)
        rows, positions = changed.nonzero(as_tuple=True)
        replacements, certainty = self.error_corrector.generate(
            text_hidden_states[rows, positions],
            text_hidden_states[rows],
            mask[rows],
            embeddings,
        )
        probabilities[rows, positions] *= certainty
        # Without detection there is no text to fall back on.
        threshold = 0.0 if self.error_detector is None else self.config.correction_threshold or 0.0
        tags = tags.masked_fill(changed & (probabilities < threshold), KEEP)
        by_row: list[dict[int, list[int]]] = [{} for _ in range(len(input_ids))]
        for row, position, replacement in zip(rows.tolist(), positions.tolist(), replacements, strict=True):
            by_row[row][position] = replacement
        by_token = zip(input_ids.tolist(), tags.tolist(), probabilities.tolist(), mask.sum(-1).tolist(), strict=True)
        return [
            Correction(row[:n], apply_corrections(ids[:n], row[:n], replaced), certainties[:n], replaced)
            for (ids, row, certainties, n), replaced in zip(by_token, by_row, strict=True)
        ]

    def _tag(self, input_ids: torch.Tensor, text_hidden_states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return KEEP, DELETE or CHANGE for each token, and how probable that is: (B, n) each."""
        if self.error_detector is None:
            return rewriting_tags(input_ids), torch.ones(input_ids.shape, device=input_ids.device)
        aed_logits = self.error_detector(text_hidden_states).float()  # a threshold would be rounded to half precision
        tags = decode_tags(aed_logits, self.config.correction_threshold)
        return tags, aed_logits.softmax(-1).gather(-1, tags[..., None]).squeeze(-1)


M4SERModel.register_for_auto_class("AutoModel")
