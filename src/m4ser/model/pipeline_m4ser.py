"""`pipeline("audio-classification")` for M4SER: a recording, with or without its hypothesis, to emotions."""

import warnings
from itertools import groupby
from types import SimpleNamespace

from transformers import AudioClassificationPipeline, pipeline

from .audio_m4ser import AudioError, load_audio
from .correction_m4ser import CHANGE, DELETE


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
        """The pipeline of a saved model, by this class's own code: no `trust_remote_code` where m4ser is installed."""
        return pipeline("audio-classification", model=str(name_or_path), pipeline_class=cls, **kwargs)

    def __call__(self, inputs, **kwargs):
        """Classify one recording or many.

        Args:
            inputs: a path, bytes, samples at the model's rate, {"raw" or "array", "sampling_rate"} or {"path"} or
                {"bytes"}, each dict with an optional "text", the hypothesis; or a list, generator or data set.
            top_k (`int`, *optional*): the best so many emotions; all by default.
            return_transcript, return_correction (`bool`): give a dict with "scores" and the hypothesis
                ("transcript"), or the hypothesis with its errors marked ("marked") and corrected ("correction").

        Returns:
            For each recording a list of {"label", "score"}, best first. Among many, one that cannot be used gives
            {"error": sentence} in its place, and the others keep their answers.

        Raises:
            AudioError: a single recording that cannot be used.
        """
        answer = super().__call__(inputs, **kwargs)
        if isinstance(answer, dict) and "error" in answer:
            raise AudioError(answer["error"])
        return answer

    def _sanitize_parameters(self, top_k=None, return_transcript=False, return_correction=False, **kwargs):
        _, _, postprocess = super()._sanitize_parameters(top_k=top_k, **kwargs)
        if return_correction and self.model.error_corrector is None:
            raise ValueError("return_correction needs a model that was built with detection and correction.")
        returned = {"return_transcript": return_transcript, "return_correction": return_correction}
        return {}, {"return_correction": return_correction}, {**postprocess, **returned}

    def preprocess(self, inputs):
        rate = self.processor.feature_extractor.sampling_rate
        text, error = None, None
        if isinstance(inputs, dict):
            inputs = dict(inputs)
            text = inputs.pop("text", None)
        try:
            waveform = load_audio(inputs, rate, target_sampling_rate=rate)
        except AudioError as refusal:
            # A batch goes on without this recording; a moment of silence holds its place.
            waveform, text, error = [0.0], "", str(refusal)
        if text is None:
            text = self._transcribe(waveform, rate)
        features = self.processor(waveform, text, sampling_rate=rate)
        return {**features, "text": text if isinstance(text, str) else text["text"], "error": error}

    def _transcribe(self, waveform, rate):
        if self._asr is None and self.processor.asr_model_id is not None:
            self._asr = pipeline("automatic-speech-recognition", self.processor.asr_model_id, device=self.device)
        if self._asr is not None:
            recording = {"raw": waveform, "sampling_rate": rate}
            return self._asr(recording, return_timestamps=len(waveform) > 30 * rate)["text"]
        if not self._warned and "text" in self.model.config.modalities:
            warnings.warn("No text and no recogniser were given: M4SER answers from speech alone.", stacklevel=2)
            self._warned = True
        return ""

    def _forward(self, model_inputs, return_correction=False):
        text, error = model_inputs.pop("text"), model_inputs.pop("error")
        output = self.model(**model_inputs)
        outputs = {
            "logits": output.logits,
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

    def postprocess(self, model_outputs, return_transcript=False, return_correction=False, **kwargs):
        if model_outputs["error"] is not None:
            return {"error": model_outputs["error"]}
        scores = super().postprocess(SimpleNamespace(logits=model_outputs["logits"]), **kwargs)
        answer = {"scores": scores, "transcript": model_outputs["text"]}
        if return_correction:
            correction, tokenizer = model_outputs["correction"], self.processor.tokenizer
            answer["marked"] = mark_errors(tokenizer, model_outputs["input_ids"][0].tolist(), correction.tags)
            answer["correction"] = tokenizer.decode(correction.token_ids)
        return answer if return_transcript or return_correction else answer["scores"]


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
