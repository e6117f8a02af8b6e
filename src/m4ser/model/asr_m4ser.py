"""The speech recognizer before the network: loaded when it is first needed, and heard in batches."""

import math

from transformers import pipeline

# 25 ms, what the first frame of a wav2vec 2.0 encoder takes. No word is shorter, and some recognizers fail on less.
SHORTEST = 0.025


class ASRTranscriber:
    """What a speech recognizer hears.

    Args:
        asr (*optional*): an automatic-speech-recognition pipeline, or a Hub id or folder to make one of; None for no
            recognizer, which is False. One that is made here writes greedily, as M4SER's training data were heard;
            transformers' pipeline would try five beams.
        sampling_rate (`int`): of all waveforms, in Hz. device: where a recognizer is loaded to.
    """

    def __init__(self, asr, sampling_rate, device):
        self._asr = asr
        self.sampling_rate = sampling_rate
        self.device = device

    def __bool__(self):
        return self._asr is not None

    @property
    def pipeline(self):
        """The recognizer itself.

        Raises:
            ValueError: it cannot be loaded.
        """
        if isinstance(self._asr, str):
            try:
                self._asr = pipeline("automatic-speech-recognition", self._asr, device=self.device, num_beams=1)
            except (OSError, ValueError) as error:
                raise ValueError(
                    f"The recognizer {self._asr!r} cannot be loaded; give each recording a text, or another "
                    f"recognizer as asr=: {str(error).splitlines()[0]}"
                ) from error
        return self._asr

    @property
    def window(self):
        """Samples that Whisper hears at once; of other recognizers there is no such limit."""
        return getattr(self.pipeline.feature_extractor, "chunk_length", math.inf) * self.sampling_rate

    def transcribe(self, waveforms, batch_size=1):
        """The texts of waveforms of shape (samples,), a list, in their order.

        `batch_size` are heard at once, those of like length together: a batch is written until its longest member
        has ended.

        Raises:
            ValueError: the recognizer cannot be loaded.
        """
        texts = [""] * len(waveforms)
        audible = [i for i, waveform in enumerate(waveforms) if len(waveform) >= SHORTEST * self.sampling_rate]
        if not audible:
            return texts
        audible.sort(key=lambda i: len(waveforms[i]))
        # Whisper walks through more than its one window by the timestamps it sets, one recording at a time.
        long = [i for i in audible if len(waveforms[i]) > self.window]
        short = audible[: len(audible) - len(long)]
        batches = [short[start : start + batch_size] for start in range(0, len(short), batch_size)]
        for batch in [*batches, *([i] for i in long)]:
            heard = self.pipeline(
                [{"raw": waveforms[i], "sampling_rate": self.sampling_rate} for i in batch],
                batch_size=len(batch),
                **({"return_timestamps": True} if len(waveforms[batch[0]]) > self.window else {}),
            )
            for i, output in zip(batch, heard, strict=True):
                texts[i] = output["text"].strip()
        return texts

    def segments(self, waveform):
        """What Whisper hears as one stretch of speech each, in a waveform of at most `window` samples.

        Returns:
            [(start, end, text)], in samples, in order and without overlap.

        Raises:
            ValueError: the recognizer is not Whisper, or cannot be loaded.
        """
        if math.isinf(self.window):
            raise ValueError('Only Whisper tells segments; give window= in seconds instead of "segments".')
        output = self.pipeline({"raw": waveform, "sampling_rate": self.sampling_rate}, return_timestamps=True)
        segments, position = [], 0
        for chunk in output["chunks"]:
            start, end = (None if time is None else round(time * self.sampling_rate) for time in chunk["timestamp"])
            start = max(start or 0, position)
            end = len(waveform) if end is None else min(end, len(waveform))
            if start < end:
                segments.append((start, end, chunk["text"].strip()))
                position = end
        return segments
