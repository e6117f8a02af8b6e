"""`pipeline("audio-classification")` for M4SER: a recording, with or without its hypothesis, to emotions."""

import io
import logging
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol, cast

import numpy as np
import torch
from transformers import Pipeline, pipeline

from .asr_m4ser import OnePassTranscriber, choose_transcriber
from .audio_m4ser import AudioError
from .base_m4ser import load_model
from .inputs_m4ser import check_model, check_options, is_list_of_numbers, with_options
from .loading_m4ser import LoadedRecording, load_recording
from .marking_m4ser import decode_words, mark_errors
from .processing_m4ser import load_processor
from .windowing_m4ser import WindowedClassificationPipeline

logger = logging.getLogger(__name__)

RETURN_OPTIONS = ("return_transcript", "return_correction", "return_embeddings")
OPTIONS = (*RETURN_OPTIONS, "top_k", "abstain_below", "function_to_apply")
FORWARD_OPTIONS = ("return_correction", "return_embeddings")
TEXT_SOURCES = (
    "Give an ASR model (asr=, m4ser predict --asr ID), or each recording its text (m4ser predict --hypotheses FILE)."
)
HUB_OPTIONS = ("revision", "token", "local_files_only", "trust_remote_code")
# What goes with a recording past the network.
KEPT = ("text", "error", "warning")
# Iterable, but one recording.
SINGLE_RECORDING_TYPES = (str, bytes, bytearray, Mapping, tuple, io.IOBase)
# Batches that are loaded before they are transcribed, so that the ASR model gets recordings of like length together.
BATCHES_AHEAD = 4


class PipelineModel(Protocol):
    """Interface of the models that [`M4SERPipeline`] takes: all of [`EmotionModel`]'s, and a graph that m4ser exports.

    Attributes:
        can_correct, can_transcribe: whether there is a `correct` or `transcribe`, as of [`M4SERModel`].
        max_text_length: the most tokens of a hypothesis; None to leave that to the tokenizer.
        extra_inputs: the names of inputs that it takes besides the processor's four.
    """

    config: Any
    extra_inputs: Sequence[str]
    name_or_path: str

    @property
    def device(self) -> torch.device: ...

    @property
    def dtype(self) -> torch.dtype: ...

    @property
    def can_correct(self) -> bool: ...

    @property
    def can_transcribe(self) -> bool: ...

    @property
    def max_text_length(self) -> int | None: ...

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Take the processor's inputs and return an [`EmotionOutput`]."""

    def eval(self) -> Any: ...

    def to(self, *args: Any, **kwargs: Any) -> Any: ...

    def can_generate(self) -> bool: ...


class M4SERPipeline(WindowedClassificationPipeline):
    """Classify recordings by emotion.

    ```python
    classify = pipeline("audio-classification", model="org/m4ser-iemocap", trust_remote_code=True)
    classify("speech.wav")                                    # transcribed first, where the model names an ASR model
    classify({"path": "speech.wav", "text": "so heart"})      # with a hypothesis of your own
    classify(["a.wav", "b.wav"], batch_size=8, top_k=1)
    classify("meeting.flac", window=5, hop=2.5)               # of any length: the emotions over time
    ```

    Args:
        asr (*optional*): an automatic-speech-recognition pipeline, or the Hub id or folder of one, where the
            processor's own ASR model (`asr_model_id`) is not wanted; "self" for the network's own CTC head, which is
            the default where it has one, and takes one pass of the speech encoder for text and emotion. So does the
            Whisper whose encoder is the network's, where that was not trained. Without any, and without a text, the
            prediction is made from speech alone.
        allow_addresses (`bool`, *optional*): download http(s) addresses; False where inputs come from others.
        max_seconds (`float`, *optional*): of a recording that gives a timeline; a longer one is refused.
    """

    model: Any  # a PipelineModel
    # Any: the types of both parents contradict each other.
    _load_processor: Any = True
    _load_feature_extractor: Any = False

    def __init__(self, *args: Any, asr: Pipeline | str | None = None, **kwargs: Any):
        kwargs.setdefault("top_k", None)
        super().__init__(*args, **kwargs)
        self.model.eval()
        check_model(self.model, self.processor.tokenizer)
        self._rate = self.processor.feature_extractor.sampling_rate
        self._takes_speech = "speech" in self.model.config.modalities
        self._transcriber = choose_transcriber(asr, self.model, self.processor)
        self._warned = False
        tokenizer, longest = self.processor.tokenizer, self.model.max_text_length
        if longest is not None:  # a tokenizer may know no limit of its own
            tokenizer.model_max_length = min(tokenizer.model_max_length, longest)
        logger.info(
            "Predicting with %s in %s on %s; ASR model: %s",
            type(self.model).__name__,
            self.dtype,
            self.device,
            self._transcriber.name,
        )

    @classmethod
    def from_pretrained(cls, name_or_path: str | Path, **kwargs: Any) -> "M4SERPipeline":
        """Load the pipeline of a saved model by this class's own code, without `trust_remote_code`.

        Args:
            name_or_path: folder or Hub id. kwargs: of transformers' `pipeline`.

        Raises:
            ValueError: there is no such model, or it is damaged or not whole.
        """
        name = str(name_or_path)
        hub = {key: kwargs.pop(key) for key in HUB_OPTIONS if key in kwargs}
        loading = {"dtype": "auto", **{key: kwargs.pop(key) for key in ("dtype", "device_map") if key in kwargs}}
        logger.info("Loading the model %s (%s)", name, loading)
        model, processor = load_model(name, **loading, **hub), load_processor(name, **hub)
        loaded = pipeline("audio-classification", model=model, processor=processor, pipeline_class=cls, **kwargs)
        return cast(M4SERPipeline, loaded)

    def __call__(
        self,
        inputs: Any,
        window: float | str | None = None,
        hop: float | None = None,
        *args: Any,
        sampling_rate: float | None = None,
        text: str | Sequence[str] | None = None,
        num_workers: int | None = None,
        batch_size: int | None = None,
        **kwargs: Any,
    ) -> Any:
        """Classify one recording or many.

        Args:
            inputs: a path, an http(s) address, bytes, samples at the model's rate, {"raw" or "array",
                "sampling_rate"} or {"path"} or {"bytes"} or {"audio": any of these}, each dict with an optional
                "text" (or "hypothesis", as m4ser's datasets call it) and "word_confidences", as the processor takes
                them; or a list, generator or dataset of them. A network without a speech encoder takes a text alone.
            window (`float`, *optional*): seconds, at most 120 (Whisper's encoder: 30); gives a timeline of a recording
                of any length, as [`timeline`] does. "segments" cuts at the ends of Whisper's segments of speech.
            hop (`float`, *optional*): seconds from one window's start to the next one's; `window` by default.
            sampling_rate (`float`, *optional*): of samples that are given as they are; the model's by default.
            text (`str`, *optional*): the hypothesis of a recording that has none beside it; of a list of recordings
                a list.
            batch_size (`int`, *optional*): recordings or windows at once, for the ASR model too; 1 by default.
            top_k (`int`, *optional*): the best so many emotions; all by default.
            abstain_below (`float`, *optional*): give a dict with "scores" and "label", which is None where the best
                score is below this.
            return_transcript, return_correction (`bool`): give a dict with "scores" and the hypothesis ("transcript";
                of the network's own "words", too, with their times), also marked ("marked") and corrected.
            return_embeddings (`bool`): give a dict with "scores" and "embeddings", the input of the emotion head
                (eq. 17), as a list of `hidden_size` numbers.

        Returns:
            For each recording a list of {"label", "score"}, best first; with a window {"scores", "timeline"}, where
            "scores" is the mean over time. A recording without sound or shorter than 0.1 s has a "warning" in its
            dict; where it has none, Python warns. Among many, one that cannot be used gives {"error": sentence} at its
            index, and the others keep their predictions.

        Raises:
            AudioError: a single recording that cannot be used. TypeError: an option that there is not.
        """
        if isinstance(inputs, list) and not inputs:
            return []
        if is_list_of_numbers(inputs):
            inputs = np.asarray(inputs, dtype=np.float32)
        if sampling_rate is not None or text is not None:
            inputs = with_options(inputs, sampling_rate, text)
        many = isinstance(inputs, Iterable) and not isinstance(inputs, (list, *SINGLE_RECORDING_TYPES))
        if many and not hasattr(inputs, "ndim"):
            inputs = (item for item in inputs)  # a dataset, or a column of it
        kwargs |= {"num_workers": num_workers, "batch_size": batch_size}
        if window is not None or hop is not None:
            return self._predict_windows(inputs, window=window, hop=hop, **kwargs)
        output = super().__call__(inputs, *args, **kwargs)
        if isinstance(output, dict) and "error" in output:
            raise AudioError(output["error"])
        return output

    def _sanitize_parameters(self, *args: Any, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        check_options([name for name in kwargs if name not in OPTIONS], OPTIONS)
        returned = {name: kwargs.pop(name) for name in RETURN_OPTIONS if name in kwargs}
        if returned.get("return_correction") and not self.model.can_correct:
            raise ValueError("return_correction needs a model that was built with detection and correction.")
        if kwargs.get("top_k") is not None and kwargs["top_k"] < 1:
            raise ValueError(f"top_k is how many emotions to return, at least 1, not {kwargs['top_k']}.")
        threshold = kwargs.pop("abstain_below", None)
        if threshold is not None:
            if not 0 <= threshold <= 1:
                raise ValueError(f"abstain_below is a score from 0 to 1, not {threshold}.")
            returned["abstain_below"] = threshold
        _, _, postprocess = super()._sanitize_parameters(*args, **kwargs)
        if "top_k" not in kwargs:
            del postprocess["top_k"]  # a call that does not name it leaves it as the pipeline was built
        forward = {name: value for name, value in returned.items() if name in FORWARD_OPTIONS}
        return {}, forward, {**postprocess, **returned}

    @property
    def has_asr(self) -> bool:
        """Whether recordings without a text are transcribed."""
        return bool(self._transcriber)

    @property
    def transcribes_itself(self) -> bool:
        """Whether they are transcribed in the network's forward: by its CTC head, or by Whisper of its own frames."""
        return isinstance(self._transcriber, OnePassTranscriber)

    def with_texts(self, inputs: Mapping[str, torch.Tensor], texts: Sequence[str | None]) -> tuple[Any, Any]:
        """Transcribe in a forward what has no text, as of [`OnePassTranscriber.with_texts`]."""
        assert isinstance(self._transcriber, OnePassTranscriber)  # `transcribes_itself`
        return self._transcriber.with_texts(inputs, texts)

    def check_model_type(self, supported_models: Any) -> None:
        """Accept any model: transformers' list has its own only, and it would log an error that M4SER is not on it."""

    def get_iterator(self, inputs: Any, num_workers: int, batch_size: int, *parameters: Any) -> Iterator[Any]:
        if self._transcriber and not self.transcribes_itself:
            inputs, num_workers = self._load_in_batches(inputs, batch_size), 0
        return super().get_iterator(inputs, num_workers, batch_size, *parameters)

    def _load_in_batches(self, inputs: Any, batch_size: int) -> Iterator[LoadedRecording]:
        items = (inputs[index] for index in range(len(inputs))) if hasattr(inputs, "__len__") else iter(inputs)
        count = batch_size * BATCHES_AHEAD if batch_size > 1 else 1
        while batch := list(islice(items, count)):
            yield from self._load_and_transcribe(batch, batch_size)

    def _load_and_transcribe(self, inputs: Sequence[Any], batch_size: int = 1) -> list[LoadedRecording]:
        """Load inputs; those without a text are transcribed, `batch_size` at once."""
        recordings = [self._load(item) for item in inputs]
        without_text = [one for one in recordings if one.text is None and not self.transcribes_itself]
        texts = self.transcribe([recording.waveform for recording in without_text], batch_size)
        for recording, text in zip(without_text, texts, strict=True):
            recording.text = text
        return recordings

    def _load(self, source: Any) -> LoadedRecording:
        recording = load_recording(source, self._rate, self._takes_speech, self._allow_addresses, self.longest_seconds)
        if recording.text is not None and not recording.text.strip() and recording.error is None:
            self._warn_once("A text is empty")
        return recording

    def transcribe(self, waveforms: Sequence[np.ndarray], batch_size: int = 1) -> list[str]:
        """Transcribe waveforms (samples,) at the model's rate; the texts are empty where there is no ASR model."""
        if waveforms and not self._transcriber:
            self._warn_once("No text and no ASR model were given")
        return self._transcriber.transcribe(waveforms, batch_size) if self._transcriber else [""] * len(waveforms)

    def _warn_once(self, reason: str) -> None:
        if not self._warned and "text" in self.model.config.modalities:
            source = "speech alone" if self._takes_speech else "an empty text"
            warnings.warn(f"{reason}: M4SER predicts from {source}. {TEXT_SOURCES}", stacklevel=2)
            self._warned = True

    # As transformers' own pipelines, these take their options by name where the base class has **parameters.
    def preprocess(self, inputs: Any) -> dict[str, Any]:  # type: ignore[override]
        recording = inputs if isinstance(inputs, LoadedRecording) else self._load_and_transcribe([inputs])[0]
        waveform = recording.waveform if self._takes_speech else None
        takes_confidences = "token_confidences" in self.model.extra_inputs
        confidences = [recording.word_confidences] if takes_confidences else None
        features = self.processor(waveform, recording.text, confidences, sampling_rate=self._rate)
        kept = {name: getattr(recording, name) for name in KEPT}
        return {**features.to(self.dtype), **kept}

    def _forward(  # type: ignore[override]
        self, model_inputs: dict[str, Any], return_correction: bool = False, return_embeddings: bool = False
    ) -> dict[str, Any]:
        kept = {name: model_inputs.pop(name) for name in KEPT}
        if isinstance(self._transcriber, OnePassTranscriber):
            model_inputs, kept = self._transcriber.complete(model_inputs, kept)
        output = self.model(**model_inputs)
        logger.debug("Predicted for a batch of %d", len(output.logits))
        outputs = {
            "logits": output.logits.float(),
            **kept,
        }
        if return_embeddings:
            outputs["embeddings"] = output.embeddings.float()
        if return_correction:
            corrections = self.model.correct(
                model_inputs["input_ids"], model_inputs["text_attention_mask"], output.text_hidden_states
            )
            # One recording comes without a list around its text; the parent hands on batches item by item.
            outputs["correction"] = corrections if isinstance(kept["text"], list) else corrections[0]
        return outputs

    def postprocess(  # type: ignore[override]
        self,
        model_outputs: dict[str, Any],
        return_transcript: bool = False,
        return_correction: bool = False,
        return_embeddings: bool = False,
        abstain_below: float | None = None,
        **kwargs: Any,
    ) -> dict[str, Any] | list[dict[str, Any]]:
        if model_outputs["error"] is not None:
            return {"error": model_outputs["error"]}
        logits = model_outputs["logits"] / self.model.config.calibration_temperature
        if not logits.isfinite().all():
            return {"error": "The model's scores are not finite: its weights are damaged, or overflow in this dtype."}
        output: dict[str, Any] = {"scores": super().postprocess(SimpleNamespace(logits=logits), **kwargs)}
        if abstain_below is not None:
            best = output["scores"][0]
            output["label"] = best["label"] if best["score"] >= abstain_below else None
        if return_transcript or return_correction:
            output["transcript"] = model_outputs["text"]
            if model_outputs.get("words"):
                output["words"] = model_outputs["words"]
        if return_correction:
            correction, tokenizer = model_outputs["correction"], self.processor.tokenizer
            output["marked"] = mark_errors(tokenizer, model_outputs["text"], correction.tags)
            output["correction"] = decode_words(tokenizer, correction.token_ids)
        if return_embeddings:
            output["embeddings"] = model_outputs["embeddings"][0].tolist()
        warning = model_outputs["warning"]
        if len(output) > 1:
            return output if warning is None else {**output, "warning": warning}
        if warning is not None:
            warnings.warn(f"A recording is {warning}: its scores mean nothing.", stacklevel=2)
        return output["scores"]
