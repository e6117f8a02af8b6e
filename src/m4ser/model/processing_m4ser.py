"""Recordings and their ASR hypotheses, to the inputs of a network."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from transformers import (
    AutoProcessor,
    BatchEncoding,
    BatchFeature,
    PreTrainedTokenizerBase,
    ProcessorMixin,
    SequenceFeatureExtractor,
    Wav2Vec2FeatureExtractor,
    WhisperFeatureExtractor,
)
from transformers.processing_utils import AudioKwargs, ProcessingKwargs, TextKwargs, Unpack
from transformers.utils import logging

from .audio_m4ser import MAX_RATE, MIN_RATE, load_audio
from .confidence_m4ser import check_word_confidences, token_confidences
from .configuration_m4ser import AUTO_MAP
from .inputs_m4ser import first_line, valid_unicode
from .saving_m4ser import saved_together

logger = logging.get_logger(__name__)

# Counted in tokens where they are given flat; the length of the audio is a matter of `audio_kwargs` alone.
TOKEN_LENGTHS = ("max_length", "truncation", "pad_to_multiple_of")


class M4SERProcessorKwargs(ProcessingKwargs, total=False):
    """Keyword arguments of [`M4SERProcessor`] by modality: `text_kwargs` and `audio_kwargs`."""


# transformers before 5.23 looks defaults up here; those of this processor are its attributes.
M4SERProcessorKwargs._defaults = {}  # type: ignore[attr-defined]


class M4SERCallKwargs(M4SERProcessorKwargs, total=False):
    """[`M4SERProcessorKwargs`], and those of both modalities that may be given flat."""

    common_kwargs: dict[str, Any]
    sampling_rate: float | None
    padding: bool | str
    truncation: bool | str
    max_length: int | None
    pad_to_multiple_of: int | None
    return_attention_mask: bool
    return_tensors: str | None


class M4SERProcessor(ProcessorMixin):
    """Wraps a wav2vec 2.0 feature extractor and a tokenizer; takes Whisper's output as it comes.

    Args:
        feature_extractor (`SequenceFeatureExtractor`): pads and normalizes waveforms. Whisper's, which would make
            spectrograms, becomes one that only pads.
        tokenizer (`PreTrainedTokenizerBase`): the text encoder's; its `model_max_length` truncates hypotheses.
        asr_model_id (`str`, *optional*): the ASR model whose hypotheses the model was trained on; the pipeline
            transcribes with it where no text is given.

    Raises:
        ValueError: a sampling rate that is none of speech, or an `asr_model_id` that is no string.
    """

    valid_processor_kwargs = M4SERProcessorKwargs
    text_kwargs = TextKwargs(
        padding=True,
        truncation=True,
        return_attention_mask=True,
        return_token_type_ids=False,
        return_tensors="pt",
    )
    audio_kwargs = AudioKwargs(padding=True, return_attention_mask=True, return_tensors="pt")

    def __init__(
        self,
        feature_extractor: SequenceFeatureExtractor,
        tokenizer: PreTrainedTokenizerBase,
        asr_model_id: str | None = None,
    ):
        rate = feature_extractor.sampling_rate
        if not isinstance(rate, int | float) or not MIN_RATE <= rate <= MAX_RATE:
            raise ValueError(f"The sampling_rate of a processor is {MIN_RATE} to {MAX_RATE} Hz, not {rate!r}.")
        if not isinstance(asr_model_id, str | None):
            raise ValueError(f"The asr_model_id of a processor is a Hub id or folder, not {asr_model_id!r}.")
        if isinstance(feature_extractor, WhisperFeatureExtractor):
            # The network makes the spectrograms itself, of samples as loud as they are.
            feature_extractor = Wav2Vec2FeatureExtractor(
                sampling_rate=rate, do_normalize=False, return_attention_mask=True
            )
        super().__init__(feature_extractor, tokenizer)
        self.asr_model_id = asr_model_id
        # As saving sets it, so that a processor equals the one that is loaded again.
        self.auto_map = {"AutoProcessor": AUTO_MAP["AutoProcessor"]}

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *args: Any, **kwargs: Any) -> Any:
        """Load as transformers does, but refuse code of the repository's own, instead of a question on the terminal.

        Raises:
            ValueError: its tokenizer or feature extractor has code, and `trust_remote_code` was not given.
        """
        kwargs["trust_remote_code"] = bool(kwargs.get("trust_remote_code"))
        return super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)

    def __call__(
        self,
        audio: Any = None,
        text: Any = None,
        word_confidences: Sequence[Any] | None = None,
        **kwargs: Unpack[M4SERCallKwargs],
    ) -> BatchFeature:
        """Prepare one recording or a list of them.

        Args:
            audio: what [`load_audio`] takes (path, bytes, samples, {"array" or "raw", "sampling_rate"}), or a list;
                None for text alone.
            text: the hypothesis, a string or Whisper's {"text": ...}, or a list as long as `audio`; None for none.
            word_confidences (`list`, *optional*): for systems that take `token_confidences`, for each text a list of
                numbers from 0 to 1, how sure the ASR model is of each word (as whitespace separates them), or None.
            sampling_rate (`int`, *optional*): Hz of samples that do not carry their own rate. Without it they are
                taken at the model's rate, with a warning.
            return_tensors (`str`): "pt" (default) or "np".
            padding (`bool` or `str`): True by default. "max_length" concerns the text only, as do `max_length`,
                `truncation` (True by default) and `pad_to_multiple_of`; those of the audio, in samples, are given in
                `audio_kwargs`.
            text_kwargs, audio_kwargs (`dict`): arguments of the tokenizer and of the feature extractor.
            common_kwargs (`dict`): arguments of both.

        Returns:
            `BatchFeature` with `input_values` and `attention_mask` (B, samples), `input_ids` and
            `text_attention_mask` (B, n), and with `word_confidences` also `token_confidences` (B, n).

        Raises:
            AudioError: a recording that cannot be used. ValueError: texts, recordings and confidences that do not pair
                up.
        """
        if audio is None and text is None:
            raise ValueError("Nothing to process: give audio, text or both.")
        recordings = None if audio is None else [audio] if _is_one_recording(audio) else list(audio)
        texts = _as_texts(text, 1 if recordings is None else len(recordings))
        if recordings is not None and len(texts) != len(recordings):
            raise ValueError(f"{len(recordings)} recordings came with {len(texts)} texts: give one text for each.")
        merged = self._merge_kwargs(
            M4SERProcessorKwargs,  # type: ignore[arg-type]  # transformers' annotation names an instance of this class
            tokenizer_init_kwargs=self.tokenizer.init_kwargs,
            **kwargs,
        )
        inputs: dict[str, Any] = {}
        if recordings is not None:
            inputs.update(self._process_recordings(recordings, merged["audio_kwargs"], kwargs.get("audio_kwargs", {})))
        options = {**self.text_kwargs, **merged["text_kwargs"]}
        encoded = self.tokenizer(texts, **options)
        inputs.update(
            {("text_attention_mask" if name == "attention_mask" else name): encoded[name] for name in encoded}
        )
        if word_confidences is not None:
            by_token = _by_token(texts, word_confidences, encoded)
            inputs.update(BatchFeature({"token_confidences": by_token}, tensor_type=options["return_tensors"]))
        return BatchFeature(inputs)

    def _process_recordings(
        self, recordings: list[Any], options: dict[str, Any], explicit: AudioKwargs
    ) -> BatchFeature:
        """Load, pad and normalize; `explicit` are the options that the caller gave for the audio."""
        flat = set(options) - set(explicit)
        ignored = {name for name in TOKEN_LENGTHS if name in flat}
        if "padding" in flat and options["padding"] == "max_length":
            ignored.add("padding")
        options = {**self.audio_kwargs, **{name: value for name, value in options.items() if name not in ignored}}
        target = self.feature_extractor.sampling_rate
        rate = options.pop("sampling_rate", None)
        if rate is None and not all(_carries_its_rate(recording) for recording in recordings):
            logger.warning_once(
                f"Samples without a sampling rate are taken to be at {target} Hz, the model's own rate: pass "
                "`sampling_rate` to say what theirs is."
            )
        waveforms = [load_audio(recording, target if rate is None else rate, target) for recording in recordings]
        return self.feature_extractor(waveforms, sampling_rate=target, **options)

    def save_pretrained(
        self, save_directory: str | os.PathLike, push_to_hub: bool = False, **kwargs: Any
    ) -> list[str]:
        """Save as transformers does, but as a whole ([`saved_together`])."""
        if push_to_hub:
            kwargs.setdefault("repo_id", Path(save_directory).name)
        with saved_together(save_directory) as folder:
            written = super().save_pretrained(folder, push_to_hub, **kwargs)
        return [str(Path(save_directory, Path(path).name)) for path in written]

    @property
    def model_input_names(self) -> list[str]:
        """Names of the model's inputs, in the order of its arguments."""
        return ["input_values", "attention_mask", "input_ids", "text_attention_mask"]


def load_processor(name_or_path: Any, **kwargs: Any) -> Any:
    """Load the processor of a saved model; whatever is wrong with it becomes one sentence.

    Args:
        name_or_path: folder or Hub id.
        kwargs: of `from_pretrained`. No code of the processor's own is run unless these say so.

    Raises:
        ValueError: there is none, or it cannot be used.
    """
    try:
        return AutoProcessor.from_pretrained(str(name_or_path), **{"trust_remote_code": False, **kwargs})
    except Exception as error:  # of tokenizers and transformers, each in its own way
        raise ValueError(
            f"The model {str(name_or_path)!r} has no processor; save one beside it (M4SERProcessor.save_pretrained): "
            f"{first_line(error)}"
        ) from error


def _is_one_recording(audio: Any) -> bool:
    """A list is one recording when it holds numbers, and several when it holds recordings."""
    if isinstance(audio, (list, tuple)):
        return bool(audio) and isinstance(audio[0], (int, float, np.number))
    return True


def _carries_its_rate(recording: Any) -> bool:
    """Files carry their rate; samples do only in a dict that gives it."""
    if isinstance(recording, dict):
        samples = recording.get("array") is not None or recording.get("raw") is not None
        return recording.get("sampling_rate") is not None or not samples
    return not (hasattr(recording, "__array__") or isinstance(recording, (list, tuple)))


def _by_token(texts: Sequence[str], word_confidences: Sequence[Any], encoded: BatchEncoding) -> list[list[float]]:
    """Return the confidences of all tokens, of texts and their word confidences."""
    if len(word_confidences) != len(texts):
        raise ValueError(f"{len(texts)} texts came with {len(word_confidences)} word_confidences: give one for each.")
    for text, confidences in zip(texts, word_confidences, strict=True):
        check_word_confidences(text, confidences)
    rows = zip(texts, word_confidences, encoded.encodings or (), strict=True)
    return [token_confidences(text, confidences, encoding.offsets) for text, confidences, encoding in rows]


def _as_texts(text: Any, count: int) -> list[str]:
    if text is None:
        return [""] * count
    texts: Sequence[Any] = [text] if isinstance(text, (str, dict)) else list(text)
    return [_as_text(item) for item in texts]


def _as_text(item: Any) -> str:
    item = item.get("text") if isinstance(item, dict) else item
    if item is None:
        return ""
    if not isinstance(item, str):
        raise ValueError(f'A hypothesis is a string or an ASR model\'s {{"text": ...}}, not {type(item).__name__}.')
    return valid_unicode(item)


M4SERProcessor.register_for_auto_class("AutoProcessor")
