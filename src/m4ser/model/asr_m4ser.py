"""The ASR model before the network: loaded when it is first needed, and run in batches."""

import logging
import math
from collections.abc import Sequence

import numpy as np
import torch
from transformers import Pipeline, pipeline

logger = logging.getLogger(__name__)

Segment = tuple[int, int, str]
# 25 ms, what the first frame of a wav2vec 2.0 encoder takes. No word is shorter, and some ASR models fail on less.
MIN_SECONDS = 0.025


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
