"""Recordings and what a recognizer heard in them, to the four inputs of [`M4SERModel`]."""

from transformers import BatchFeature, ProcessorMixin

from .audio_m4ser import load_audio


class M4SERProcessor(ProcessorMixin):
    """Wraps a wav2vec 2.0 feature extractor and a tokenizer; takes Whisper's output as it comes.

    Args:
        feature_extractor (`Wav2Vec2FeatureExtractor`): pads and normalizes waveforms.
        tokenizer (`PreTrainedTokenizerBase`): the text encoder's; its `model_max_length` truncates hypotheses.
        asr_model_id (`str`, *optional*): the recognizer whose hypotheses the model was trained on; the pipeline
            transcribes with it where no text is given.
    """

    def __init__(self, feature_extractor, tokenizer, asr_model_id=None):
        super().__init__(feature_extractor, tokenizer)
        self.asr_model_id = asr_model_id

    def __call__(self, audio=None, text=None, sampling_rate=None, return_tensors="pt"):
        """Prepare one recording or a list of them.

        Args:
            audio: what [`load_audio`] takes (path, bytes, samples, {"array" or "raw", "sampling_rate"}), or a list;
                None for text alone.
            text: the hypothesis, a string or Whisper's {"text": ...}, or a list as long as `audio`; None for none.
            sampling_rate (`int`, *optional*): Hz of samples that do not carry their own rate.
            return_tensors (`str`): "pt" or "np".

        Returns:
            `BatchFeature` with `input_values` and `attention_mask` (B, samples), `input_ids` and
            `text_attention_mask` (B, n).

        Raises:
            AudioError: a recording that cannot be used. ValueError: texts and recordings that do not pair up.
        """
        if audio is None and text is None:
            raise ValueError("Nothing to process: give audio, text or both.")
        recordings = None if audio is None else [audio] if _is_one_recording(audio) else list(audio)
        texts = _as_texts(text, 1 if recordings is None else len(recordings))
        if recordings is not None and len(texts) != len(recordings):
            raise ValueError(f"{len(recordings)} recordings came with {len(texts)} texts: give one text for each.")
        inputs = {}
        if recordings is not None:
            target = self.feature_extractor.sampling_rate
            inputs = self.feature_extractor(
                [load_audio(recording, sampling_rate, target) for recording in recordings],
                sampling_rate=target,
                padding=True,
                return_attention_mask=True,
                return_tensors=return_tensors,
            )
        encoded = self.tokenizer(
            texts, padding=True, truncation=True, return_attention_mask=True, return_tensors=return_tensors
        )
        return BatchFeature(
            {**inputs, "input_ids": encoded["input_ids"], "text_attention_mask": encoded["attention_mask"]}
        )

    @property
    def model_input_names(self):
        return ["input_values", "attention_mask", "input_ids", "text_attention_mask"]


def _is_one_recording(audio):
    """A list is one recording when it holds numbers, and several when it holds recordings."""
    if isinstance(audio, (list, tuple)):
        return bool(audio) and isinstance(audio[0], (int, float))
    return True


def _as_texts(text, count):
    if text is None:
        return [""] * count
    texts = [text] if isinstance(text, (str, dict)) else list(text)
    return [_as_text(item) for item in texts]


def _as_text(item):
    item = item.get("text") if isinstance(item, dict) else item
    if item is None:
        return ""
    if not isinstance(item, str):
        raise ValueError(f'A hypothesis is a string or a recognizer\'s {{"text": ...}}, not {type(item).__name__}.')
    return item


M4SERProcessor.register_for_auto_class("AutoProcessor")
