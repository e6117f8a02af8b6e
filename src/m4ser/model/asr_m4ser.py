"""The ASR model before the network: loaded when it is first needed, and run in batches."""

import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from transformers import Pipeline, pipeline
from transformers.modeling_outputs import BaseModelOutput

from .recognition_m4ser import Transcription, frame_inputs, split_at_pauses, with_own_texts
from .whisper_encoder_m4ser import has_whisper

logger = logging.getLogger(__name__)

Segment = tuple[int, int, str]
# 25 ms, what the first frame of a wav2vec 2.0 encoder takes. No word is shorter, and some ASR models fail on less.
MIN_SECONDS = 0.025


OWN_ASR = "self"  # the CTC head of the network itself, where an ASR model is named
OWN_SECONDS = 30  # that the network transcribes at once, of a longer recording in segments


class ASRTranscriber:
    """Transcribes waveforms with an ASR model.

    Args:
        asr (*optional*): an automatic-speech-recognition pipeline, or a Hub id or folder to make one of; None for no
            ASR model, which is False. One that is made here decodes greedily, as M4SER's training data were
            transcribed; transformers' pipeline would try five beams.
        sampling_rate (`int`): of all waveforms, in Hz. device: where an ASR model is loaded to.
    """

    def __init__(self, asr: Pipeline | str | None, sampling_rate: int, device: torch.device | str):
        self._asr = asr
        self.name = asr if isinstance(asr, str) else type(asr).__name__
        self.sampling_rate = sampling_rate
        self.device = device

    def __bool__(self) -> bool:
        return self._asr is not None

    @property
    def pipeline(self) -> Pipeline:
        """The automatic-speech-recognition pipeline.

        Raises:
            ValueError: there is none, or it cannot be loaded.
        """
        if self._asr is None:
            raise ValueError("There is no ASR model; give one as asr=.")
        if isinstance(self._asr, str):
            logger.info("Loading the ASR model %s on %s", self._asr, self.device)
            try:
                self._asr = pipeline(
                    "automatic-speech-recognition",
                    self._asr,
                    device=self.device,
                    num_beams=1,
                    trust_remote_code=False,  # named by a model's processor, it is no more trusted than that
                )
            except (OSError, ValueError) as error:
                raise ValueError(
                    f"The ASR model {self._asr!r} cannot be loaded; give each recording a text, or another ASR model "
                    f"as asr=: {str(error).splitlines()[0]}"
                ) from error
        return self._asr

    @property
    def window(self) -> float:
        """The samples that Whisper takes at once; other ASR models have no such limit."""
        return getattr(self.pipeline.feature_extractor, "chunk_length", math.inf) * self.sampling_rate

    def transcribe(self, waveforms: Sequence[np.ndarray], batch_size: int = 1) -> list[str]:
        """Transcribe waveforms of shape (samples,); the texts come in their order.

        `batch_size` are transcribed at once, those of like length together: a batch is decoded until its longest
        member has ended.

        Raises:
            ValueError: the ASR model cannot be loaded.
        """
        texts = [""] * len(waveforms)
        audible = [i for i, waveform in enumerate(waveforms) if len(waveform) >= MIN_SECONDS * self.sampling_rate]
        if not audible:
            return texts
        audible.sort(key=lambda i: len(waveforms[i]))
        # Whisper goes through more than its one window by the timestamps it sets, one recording at a time.
        long = [i for i in audible if len(waveforms[i]) > self.window]
        short = audible[: len(audible) - len(long)]
        batches = [short[start : start + batch_size] for start in range(0, len(short), batch_size)]
        for batch in [*batches, *([i] for i in long)]:
            logger.debug(
                "Transcribing a batch of %d, the longest of %d samples", len(batch), len(waveforms[batch[-1]])
            )
            outputs = self.pipeline(
                [{"raw": waveforms[i], "sampling_rate": self.sampling_rate} for i in batch],
                batch_size=len(batch),
                **({"return_timestamps": True} if len(waveforms[batch[0]]) > self.window else {}),
            )
            for i, output in zip(batch, outputs, strict=True):
                texts[i] = output["text"].strip()
        return texts

    def check_segments(self) -> None:
        """Check that the ASR model gives segments.

        Raises:
            ValueError: it is not Whisper, or cannot be loaded.
        """
        if math.isinf(self.window):
            raise ValueError('Only Whisper gives segments; give window= in seconds instead of "segments".')

    def segments(self, waveform: np.ndarray) -> list[Segment]:
        """Transcribe a waveform of at most `window` samples into Whisper's segments of speech.

        Returns:
            [(start, end, text)], in samples, in order and without overlap.

        Raises:
            ValueError: the ASR model is not Whisper, or cannot be loaded.
        """
        self.check_segments()
        output = self.pipeline({"raw": waveform, "sampling_rate": self.sampling_rate}, return_timestamps=True)
        segments: list[Segment] = []
        position = 0
        for chunk in output["chunks"]:
            start, end = (None if time is None else round(time * self.sampling_rate) for time in chunk["timestamp"])
            start = max(start or 0, position)
            end = len(waveform) if end is None else min(end, len(waveform))
            if start < end:
                segments.append((start, end, chunk["text"].strip()))
                position = end
        return segments


class OnePassTranscriber(ABC):
    """Transcribes within a forward of the pipeline, from the frames that the network goes on with."""

    @abstractmethod
    def with_texts(
        self, inputs: Mapping[str, torch.Tensor], texts: Sequence[str | None]
    ) -> tuple[dict[str, torch.Tensor], list[Transcription]]:
        """Transcribe the recordings of a batch that have no text, as [`with_own_texts`] does."""

    def complete(self, inputs: dict[str, Any], kept: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Transcribe what has no text.

        Args:
            inputs: of the network. kept: "text" of one recording or a list of them, None where there is none.

        Returns:
            The inputs that [`with_texts`] gives, and `kept` with the texts, and their "words".
        """
        is_batch = isinstance(kept["text"], list)
        inputs, found = self.with_texts(inputs, kept["text"] if is_batch else [kept["text"]])
        text, words = [one.text for one in found], [[vars(word) for word in one.words] for one in found]
        return inputs, kept | {"text": text if is_batch else text[0], "words": words if is_batch else words[0]}


class OwnTranscriber(OnePassTranscriber):
    """Transcribes waveforms with the CTC head of the network itself, as [`ASRTranscriber`] does.

    Args:
        model: an [`M4SERModel`] that can transcribe. processor: its [`M4SERProcessor`].
    """

    name = OWN_ASR

    def __init__(self, model: Any, processor: Any):
        self._model, self._processor = model, processor
        self.sampling_rate: int = processor.feature_extractor.sampling_rate
        self.window = float(OWN_SECONDS * self.sampling_rate)

    def transcribe(self, waveforms: Sequence[np.ndarray], batch_size: int = 1) -> list[str]:
        """Transcribe waveforms of shape (samples,), `batch_size` at once; the texts come in their order."""
        batches = (waveforms[start : start + batch_size] for start in range(0, len(waveforms), batch_size))
        return [one.text for batch in batches for one in self._transcriptions(batch)]

    def check_segments(self) -> None:
        """Accept: the head gives the times of words, by which pauses end segments."""

    def segments(self, waveform: np.ndarray) -> list[Segment]:
        """Transcribe a waveform into segments of speech, as [`ASRTranscriber.segments`] does."""
        (found,) = self._transcriptions([waveform])
        return [
            (
                round(words[0].start * self.sampling_rate),
                min(len(waveform), round(words[-1].end * self.sampling_rate)),
                " ".join(word.text for word in words),
            )
            for words in split_at_pauses(found.words)
        ]

    def with_texts(
        self, inputs: Mapping[str, torch.Tensor], texts: Sequence[str | None]
    ) -> tuple[dict[str, torch.Tensor], list[Transcription]]:
        return with_own_texts(self._model, self._processor.tokenizer, inputs, texts)

    def _transcriptions(self, waveforms: Sequence[np.ndarray]) -> list[Transcription]:
        inputs = self._processor(list(waveforms), sampling_rate=self.sampling_rate)
        inputs = inputs.to(self._model.device, self._model.dtype)
        return self._model.transcribe(inputs["input_values"], inputs["attention_mask"])


class SharedEncoderTranscriber(ASRTranscriber, OnePassTranscriber):
    """Transcribes with the Whisper that the network's speech encoder was taken from: its decoder takes the frames.

    That holds while the encoder's weights are still Whisper's. Where it was trained, Whisper runs as a whole.

    Args:
        asr: Hub id or folder of that Whisper. model: a network with its encoder. processor: its [`M4SERProcessor`].
    """

    def __init__(self, asr: str, model: Any, processor: Any):
        super().__init__(asr, processor.feature_extractor.sampling_rate, model.device)
        self._model, self._tokenizer = model, processor.tokenizer

    @torch.no_grad()
    def with_texts(
        self, inputs: Mapping[str, torch.Tensor], texts: Sequence[str | None]
    ) -> tuple[dict[str, torch.Tensor], list[Transcription]]:
        """Transcribe the recordings of a batch that have no text; without the times of words."""
        encoder, samples, mask = self._model.speech_encoder, inputs["input_values"], inputs["attention_mask"]
        window = encoder.encode_window(samples, mask)
        lengths = mask.sum(-1).tolist()
        shortest = MIN_SECONDS * self.sampling_rate
        rows = [row for row, text in enumerate(texts) if text is None and lengths[row] >= shortest]
        if not rows:  # so that Whisper is not loaded
            own = []
        elif self._shares_encoder:
            own = self._decode(window[rows])
        else:
            own = self.transcribe([samples[row, : lengths[row]].float().cpu().numpy() for row in rows], len(rows))
        found = dict(enumerate(texts)) | dict(zip(rows, own, strict=True))
        completed = [found[row] or "" for row in range(len(texts))]
        frames, frame_mask = encoder.valid_frames(window, mask)
        completed_inputs = frame_inputs(self._tokenizer, frames, frame_mask, completed)
        return completed_inputs, [Transcription(text, []) for text in completed]

    @cached_property
    def _shares_encoder(self) -> bool:
        own = self._model.speech_encoder.encoder.state_dict()
        other = self.pipeline.model.get_encoder().state_dict()
        shares = all(
            name in other and not weight.is_meta and torch.equal(weight, other[name].to(weight))
            for name, weight in own.items()
        )
        if not shares:
            logger.warning("The speech encoder was trained further than %s, which runs as a whole besides.", self.name)
        return shares

    def _decode(self, window: torch.Tensor) -> list[str]:
        """Return the texts of the encoder's output (B, 1500, d_S)."""
        whisper: Any = self.pipeline.model
        tokenizer: Any = self.pipeline.tokenizer
        tokens = whisper.generate(
            encoder_outputs=BaseModelOutput(last_hidden_state=window.to(whisper.dtype)),
            attention_mask=torch.ones(window.shape[:2], dtype=torch.long, device=window.device),
            num_beams=1,
            force_unique_generate_call=True,  # it would encode what is behind the last timestamp again
        )
        return [text.strip() for text in tokenizer.batch_decode(tokens, skip_special_tokens=True)]


def choose_transcriber(asr: Pipeline | str | None, model: Any, processor: Any) -> ASRTranscriber | OwnTranscriber:
    """Return the transcriber that `asr` names; by default the network's own head, then the processor's ASR model.

    Where that is the Whisper of the network's speech encoder, both share its output.

    Raises:
        ValueError: "self" for a network that cannot transcribe.
    """
    if asr is None:
        asr = OWN_ASR if model.can_transcribe else processor.asr_model_id
    if asr == OWN_ASR:
        if not model.can_transcribe:
            raise ValueError('asr="self" needs a model with the auxiliary task "recognition"; name an ASR model.')
        return OwnTranscriber(model, processor)
    gives_frames = hasattr(model, "speech_encoder") and has_whisper(model.config)  # a graph gives none
    if isinstance(asr, str) and gives_frames and asr == model.config.speech_config.name_or_path:
        return SharedEncoderTranscriber(asr, model, processor)
    return ASRTranscriber(asr, processor.feature_extractor.sampling_rate, model.device)
