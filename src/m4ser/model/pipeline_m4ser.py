"""`pipeline("audio-classification")` for M4SER: a recording, with or without its hypothesis, to emotions."""

import math
import warnings
from collections.abc import Sequence, Sized
from dataclasses import dataclass
from itertools import groupby, islice
from types import SimpleNamespace

from transformers import AudioClassificationPipeline, pipeline

from .audio_m4ser import AudioError, load_audio
from .correction_m4ser import CHANGE, DELETE


@dataclass
class Recording:
    """One input as it was read: samples, its hypothesis (None: not heard yet), and why it cannot be used."""

    waveform: Sequence
    text: str | None = None
    error: str | None = None


class M4SERPipeline(AudioClassificationPipeline):
    """Classify recordings by emotion.

    ```python
    classify = pipeline("audio-classification", model="org/m4ser-iemocap", trust_remote_code=True)
    classify("speech.wav")                                    # transcribed first, where the model names a recogniser
    classify({"path": "speech.wav", "text": "so heart"})      # with a hypothesis of your own
    classify(["a.wav", "b.wav"], batch_size=8, top_k=1)
    ```

    Args:
        asr (*optional*): an automatic-speech-recognition pipeline, where the processor's own recogniser
            (`asr_model_id`) is not wanted. Without either, and without a text, speech alone answers.
    """

    _load_processor = True
    _load_feature_extractor = False
    _load_tokenizer = False

    def __init__(self, *args, asr=None, **kwargs):
        kwargs.setdefault("top_k", None)
        super().__init__(*args, **kwargs)
        self.model.eval()
        self._asr = asr
        self._warned = False

    @classmethod
    def from_pretrained(cls, name_or_path, **kwargs):
        """The pipeline of a saved model, by this class's own code: no `trust_remote_code` where m4ser is installed.

        Raises:
            ValueError: there is no model of that name.
        """
        try:
            return pipeline("audio-classification", model=str(name_or_path), pipeline_class=cls, **kwargs)
        except OSError as error:
            raise ValueError(f"There is no model {str(name_or_path)!r}: {str(error).splitlines()[0]}") from error

    def __call__(self, inputs, **kwargs):
        """Classify one recording or many.

        Args:
            inputs: a path, bytes, samples at the model's rate, {"raw" or "array", "sampling_rate"} or {"path"} or
                {"bytes"}, each dict with an optional "text", the hypothesis; or a list, generator or data set.
            batch_size (`int`, *optional*): recordings at once, for the recogniser too; 1 by default.
            top_k (`int`, *optional*): the best so many emotions; all by default.
            abstain_below (`float`, *optional*): give a dict with "scores" and "label", which is None where the best
                score is below this.
            return_transcript, return_correction (`bool`): give a dict with "scores" and the hypothesis
                ("transcript"), or the hypothesis with its errors marked ("marked") and corrected ("correction").

        Returns:
            For each recording a list of {"label", "score"}, best first. Among many, one that cannot be used gives
            {"error": sentence} in its place, and the others keep their answers.

        Raises:
            AudioError: a single recording that cannot be used.
        """
        if isinstance(inputs, list) and not inputs:
            return []
        if isinstance(inputs, Sequence) and not isinstance(inputs, (str, bytes, bytearray, list, tuple)):
            inputs = (item for item in inputs)  # a column of a data set
        answer = super().__call__(inputs, **kwargs)
        if isinstance(answer, dict) and "error" in answer:
            raise AudioError(answer["error"])
        return answer

    def _sanitize_parameters(self, **kwargs):
        returned = {name: kwargs.pop(name) for name in ("return_transcript", "return_correction") if name in kwargs}
        if returned.get("return_correction") and self.model.error_corrector is None:
            raise ValueError("return_correction needs a model that was built with detection and correction.")
        if kwargs.get("top_k") is not None and kwargs["top_k"] < 1:
            raise ValueError(f"top_k is how many emotions to answer, at least 1, not {kwargs['top_k']}.")
        threshold = kwargs.pop("abstain_below", None)
        if threshold is not None:
            if not 0 <= threshold <= 1:
                raise ValueError(f"abstain_below is a score from 0 to 1, not {threshold}.")
            returned["abstain_below"] = threshold
        _, _, postprocess = super()._sanitize_parameters(**kwargs)
        if "top_k" not in kwargs:
            del postprocess["top_k"]  # a call that does not name it leaves it as the pipeline was built
        forward = {name: value for name, value in returned.items() if name == "return_correction"}
        return {}, forward, {**postprocess, **returned}

    def get_iterator(self, inputs, num_workers, batch_size, *parameters):
        if self._asr is not None or self.processor.asr_model_id is not None:
            inputs, num_workers = self._read_in_batches(inputs, batch_size), 0
        return super().get_iterator(inputs, num_workers, batch_size, *parameters)

    def _read_in_batches(self, inputs, batch_size):
        items = (inputs[index] for index in range(len(inputs))) if isinstance(inputs, Sized) else iter(inputs)
        while batch := list(islice(items, batch_size)):
            yield from self._read(batch)

    def _read(self, inputs):
        """Inputs to [`Recording`]s; the recogniser hears all those without a text at once."""
        recordings = [self._load(item) for item in inputs]
        unheard = [recording for recording in recordings if recording.text is None]
        for recording, text in zip(unheard, self._transcribe([item.waveform for item in unheard]), strict=True):
            recording.text = text
        return recordings

    def _load(self, source):
        text, name = None, "the recording"
        if isinstance(source, dict):
            source = dict(source)
            text, name = source.pop("text", None), source.get("path") or name
        text = text.get("text") if isinstance(text, dict) else text
        rate = self.processor.feature_extractor.sampling_rate
        try:
            if not isinstance(text, (str, type(None))):
                raise AudioError(f"{name}: its text is a {type(text).__name__}; give a string.")
            return Recording(load_audio(source, rate, target_sampling_rate=rate), text)
        except AudioError as refusal:
            # A batch goes on without this recording; a moment of silence holds its place.
            return Recording([0.0], "", str(refusal))

    def _transcribe(self, waveforms):
        """What the recogniser hears in each, or nothing where there is no recogniser."""
        if not waveforms:
            return []
        if self._asr is None and self.processor.asr_model_id is not None:
            self._asr = pipeline("automatic-speech-recognition", self.processor.asr_model_id, device=self.device)
        if self._asr is None:
            if not self._warned and "text" in self.model.config.modalities:
                warnings.warn("No text and no recogniser were given: M4SER answers from speech alone.", stacklevel=2)
                self._warned = True
            return [""] * len(waveforms)
        # Whisper walks through more than its one window by the timestamps it sets, one recording at a time.
        window = getattr(self._asr.feature_extractor, "n_samples", math.inf)
        is_long = max(map(len, waveforms)) > window
        if is_long and len(waveforms) > 1:
            return [text for waveform in waveforms for text in self._transcribe([waveform])]
        rate = self.processor.feature_extractor.sampling_rate
        heard = self._asr(
            [{"raw": waveform, "sampling_rate": rate} for waveform in waveforms],
            batch_size=len(waveforms),
            **({"return_timestamps": True} if is_long else {}),
        )
        return [output["text"].strip() for output in heard]

    def preprocess(self, inputs):
        recording = inputs if isinstance(inputs, Recording) else self._read([inputs])[0]
        rate = self.processor.feature_extractor.sampling_rate
        features = self.processor(recording.waveform, recording.text, sampling_rate=rate)
        return {**features.to(self.dtype), "text": recording.text, "error": recording.error}

    def _forward(self, model_inputs, return_correction=False):
        text, error = model_inputs.pop("text"), model_inputs.pop("error")
        output = self.model(**model_inputs)
        outputs = {
            "logits": output.logits.float(),
            "input_ids": model_inputs["input_ids"],
            "text": text,
            "error": error,
        }
        if return_correction:
            corrections = self.model.correct(
                model_inputs["input_ids"], model_inputs["text_attention_mask"], output.text_hidden_states
            )
            # One recording comes without a list around its text; the parent hands on batches item by item.
            outputs["correction"] = corrections if isinstance(text, list) else corrections[0]
        return outputs

    def postprocess(
        self, model_outputs, return_transcript=False, return_correction=False, abstain_below=None, **kwargs
    ):
        if model_outputs["error"] is not None:
            return {"error": model_outputs["error"]}
        if not model_outputs["logits"].isfinite().all():
            return {"error": "The model's scores are not finite: its weights are damaged, or overflow in this dtype."}
        logits = model_outputs["logits"] / self.model.config.calibration_temperature
        answer = {"scores": super().postprocess(SimpleNamespace(logits=logits), **kwargs)}
        if abstain_below is not None:
            best = answer["scores"][0]
            answer["label"] = best["label"] if best["score"] >= abstain_below else None
        if return_transcript or return_correction:
            answer["transcript"] = model_outputs["text"]
        if return_correction:
            correction, tokenizer = model_outputs["correction"], self.processor.tokenizer
            answer["marked"] = mark_errors(tokenizer, model_outputs["input_ids"][0].tolist(), correction.tags)
            answer["correction"] = tokenizer.decode(correction.token_ids)
        return answer if len(answer) > 1 else answer["scores"]


def mark_errors(tokenizer, token_ids, tags):
    """The hypothesis with [what is to be replaced] in brackets and ~what is to go~ between tildes.

    Args:
        token_ids, tags: n each, [CLS] first and [SEP] last; padding after them is left out.
    """
    marks = {CHANGE: "[{}]", DELETE: "~{}~"}
    runs = []
    for tag, group in groupby(zip(tags[1:-1], token_ids[1:], strict=False), key=lambda pair: pair[0]):
        runs.append(marks.get(tag, "{}").format(tokenizer.decode([token_id for _, token_id in group])))
    return " ".join(["[]", *runs] if tags[0] == CHANGE else runs)
