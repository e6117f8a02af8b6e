"""`pipeline("audio-classification")` for M4SER: a recording, with or without its hypothesis, to emotions."""

import io
import warnings
from collections import deque
from collections.abc import Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass
from itertools import groupby, islice
from types import GeneratorType, SimpleNamespace

from torch.utils.data import Dataset
from transformers import AudioClassificationPipeline, AutoModelForAudioClassification, AutoProcessor, pipeline

from .asr_m4ser import ASRTranscriber
from .audio_m4ser import AudioError, load_audio, stream_audio
from .correction_m4ser import CHANGE, DELETE
from .windowing_m4ser import mean_scores, segments, windows, without_overlap

RETURNED = ("return_transcript", "return_correction", "return_embeddings")
HUB_OPTIONS = ("revision", "token", "local_files_only", "trust_remote_code")
# Iterable, but one recording.
ONE = (str, bytes, bytearray, Mapping, tuple, io.IOBase)
# What is answered at once. Attention takes memory by the square of the length: at two minutes eager attention in
# HuBERT base takes 1.7 GB a layer.
MAX_SECONDS = 120
MIN_SECONDS = 0.1
# Batches that are read before the recognizer hears them, so that it finds recordings of like length.
BATCHES_AHEAD = 4


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
    classify("speech.wav")                                    # transcribed first, where the model names a recognizer
    classify({"path": "speech.wav", "text": "so heart"})      # with a hypothesis of your own
    classify(["a.wav", "b.wav"], batch_size=8, top_k=1)
    classify("meeting.flac", window=5, hop=2.5)               # of any length: what is heard when
    ```

    Args:
        asr (*optional*): an automatic-speech-recognition pipeline, or the Hub id or folder of one, where the
            processor's own recognizer (`asr_model_id`) is not wanted. Without either, and without a text, speech
            alone answers.
    """

    _load_processor = True
    _load_feature_extractor = False
    _load_tokenizer = False

    def __init__(self, *args, asr=None, **kwargs):
        kwargs.setdefault("top_k", None)
        super().__init__(*args, **kwargs)
        self.model.eval()
        self._rate = self.processor.feature_extractor.sampling_rate
        asr = self.processor.asr_model_id if asr is None else asr
        self._transcriber = ASRTranscriber(asr, self._rate, self.device)
        self._warned = False
        encoder, tokenizer = self.model.text_encoder, self.processor.tokenizer
        if encoder is not None and encoder.max_length is not None:  # a tokenizer may know no limit of its own
            tokenizer.model_max_length = min(tokenizer.model_max_length, encoder.max_length)

    @classmethod
    def from_pretrained(cls, name_or_path, **kwargs):
        """The pipeline of a saved model, by this class's own code: no `trust_remote_code` where m4ser is installed.

        Args:
            name_or_path: folder or Hub id. kwargs: of transformers' `pipeline`.

        Raises:
            ValueError: there is no such model, or it is damaged or not whole.
        """
        name = str(name_or_path)
        hub = {key: kwargs.pop(key) for key in HUB_OPTIONS if key in kwargs}
        loading = {"dtype": "auto", **{key: kwargs.pop(key) for key in ("dtype", "device_map") if key in kwargs}}
        try:
            model, report = AutoModelForAudioClassification.from_pretrained(
                name, output_loading_info=True, **loading, **hub
            )
        except OSError as error:
            raise ValueError(f"There is no model {name!r}: {_first_line(error)}") from error
        except Exception as error:  # of safetensors, PyTorch and transformers, each in its own way
            raise ValueError(f"The model {name!r} cannot be loaded: {_first_line(error)}") from error
        if missing := sorted(report["missing_keys"]):
            raise ValueError(
                f"The model {name!r} is not whole: {len(missing)} of its weights are missing, such as {missing[0]}."
            )
        try:
            processor = AutoProcessor.from_pretrained(name, **hub)
        except Exception as error:
            raise ValueError(
                f"The model {name!r} has no processor; save one beside it (M4SERProcessor.save_pretrained): "
                f"{_first_line(error)}"
            ) from error
        return pipeline("audio-classification", model=model, processor=processor, pipeline_class=cls, **kwargs)

    def __call__(self, inputs, window=None, hop=None, **kwargs):
        """Classify one recording or many.

        Args:
            inputs: a path, an http(s) address, bytes, samples at the model's rate, {"raw" or "array",
                "sampling_rate"} or {"path"} or {"bytes"} or {"audio": any of these}, each dict with an optional
                "text" (or "hypothesis", as m4ser's datasets call it); or a list, generator or dataset of them.
            window (`float`, *optional*): seconds, at most 120; gives a timeline of a recording of any length, as
                [`timeline`] does. "segments" cuts where Whisper hears one stretch of speech end.
            hop (`float`, *optional*): seconds from the start of a window to the start of the next; `window` by
                default.
            batch_size (`int`, *optional*): recordings at once, for the recognizer too; 1 by default.
            top_k (`int`, *optional*): the best so many emotions; all by default.
            abstain_below (`float`, *optional*): give a dict with "scores" and "label", which is None where the best
                score is below this.
            return_transcript, return_correction (`bool`): give a dict with "scores" and the hypothesis
                ("transcript"), or the hypothesis with its errors marked ("marked") and corrected ("correction").
            return_embeddings (`bool`): give a dict with "scores" and "embeddings", what the emotion head looks at
                (eq. 17), as a list of `hidden_size` numbers.

        Returns:
            For each recording a list of {"label", "score"}, best first; with a window {"scores", "timeline"}, where
            "scores" is the mean over time. Among many, one that cannot be used gives {"error": sentence} in its
            place, and the others keep their answers.

        Raises:
            AudioError: a single recording that cannot be used.
        """
        if isinstance(inputs, list) and not inputs:
            return []
        if isinstance(inputs, Iterable) and not isinstance(inputs, (list, *ONE)) and not hasattr(inputs, "ndim"):
            inputs = (item for item in inputs)  # a dataset, or a column of it
        if window is not None or hop is not None:
            return self._predict_windows(inputs, window=window, hop=hop, **kwargs)
        answer = super().__call__(inputs, **kwargs)
        if isinstance(answer, dict) and "error" in answer:
            raise AudioError(answer["error"])
        return answer

    def timeline(self, source, window, hop=None, batch_size=None, **kwargs):
        """What is heard when in a recording of any length, found and forgotten piece by piece.

        Args:
            source: one recording, as the pipeline takes it; its text, where given, must be empty.
            window, hop, batch_size, kwargs: as of a call.

        Yields:
            {"start", "end" (seconds), "scores", "text"}, without overlap. Where windows overlap, an entry begins with
            a window and ends where the next begins; its scores are the mean over the windows that reach into it, and
            its text (and "marked", "correction", "embeddings") is that of the window that begins with it.

        Raises:
            AudioError: a recording that cannot be used, when the damage is reached.
        """
        ranking = self._ranking(kwargs)
        for entry in self._window_scores(source, window, hop, **kwargs):
            yield {**entry, **rank(entry["scores"], **ranking)}

    def _predict_windows(self, inputs, **kwargs):
        """The timeline of each recording, and the mean over it."""
        if isinstance(inputs, (GeneratorType, Dataset)):
            return (self._predict_windows([item], **kwargs)[0] for item in inputs)
        if isinstance(inputs, list):
            return [self._predict_windows_or_error(item, **kwargs) for item in inputs]
        ranking = self._ranking(kwargs)
        entries = list(self.timeline(inputs, **{**kwargs, **ranking, "top_k": None}))
        answer = {**aggregate(entries, ranking["abstain_below"]), "timeline": entries}
        for part in (answer, *entries):
            part["scores"] = part["scores"][: ranking["top_k"]]
        return answer

    def _predict_windows_or_error(self, source, **kwargs):
        try:
            return self._predict_windows(source, **kwargs)
        except AudioError as refusal:
            return {"error": str(refusal)}

    def _ranking(self, kwargs):
        """`top_k` and `abstain_below`, taken out of a call's options, or as the pipeline was built."""
        given = {name: kwargs.pop(name) for name in ("top_k", "abstain_below") if name in kwargs}
        options = {**self._postprocess_params, **self._sanitize_parameters(**given)[2]}
        return {name: options.get(name) for name in ("top_k", "abstain_below")}

    def _window_scores(self, source, window, hop=None, **kwargs):
        """[`timeline`] with scores that are {label: score} of all emotions."""
        _check_window(window, hop)
        places = deque()

        def pieces():
            for start, waveform, text in self._cut(source, window, hop):
                places.append((start / self._rate, (start + len(waveform)) / self._rate))
                yield {"raw": waveform, "sampling_rate": self._rate, "text": text}

        def found():
            for answer in self(pieces(), **{**kwargs, "top_k": None, "return_transcript": True}):
                if "error" in answer:
                    raise AudioError(answer["error"])
                start, end = places.popleft()
                scores = {item["label"]: item["score"] for item in answer.pop("scores")}
                answer.pop("label", None)  # said of the stretch, whose scores are others
                yield {"start": start, "end": end, "scores": scores, "text": answer.pop("transcript"), **answer}

        return without_overlap(found())

    def _cut(self, source, window, hop):
        """Yield (start in samples, waveform, text or None) of the pieces of one recording."""
        source, text, name = _unpack(source)
        if text:
            raise AudioError(f"{name}: one text does not say what was said when; leave it out, or give an empty one.")
        blocks = stream_audio(source, self._rate, target_sampling_rate=self._rate)
        if window == "segments":
            if not self._transcriber:
                raise ValueError("Segments are a recognizer's; give asr=, or window= in seconds.")
            yield from segments(blocks, self._transcriber.segments, self._transcriber.window)
            return
        hop = window if hop is None else hop
        for start, waveform in windows(blocks, round(window * self._rate), round(hop * self._rate)):
            yield start, waveform, text

    def _sanitize_parameters(self, **kwargs):
        returned = {name: kwargs.pop(name) for name in RETURNED if name in kwargs}
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
        forward = {name: returned[name] for name in ("return_correction", "return_embeddings") if name in returned}
        return {}, forward, {**postprocess, **returned}

    def check_model_type(self, supported_models):
        """transformers' list has its own models only, and an error would be logged that M4SER is not on it."""

    def get_iterator(self, inputs, num_workers, batch_size, *parameters):
        if self._transcriber:
            inputs, num_workers = self._read_in_batches(inputs, batch_size), 0
        return super().get_iterator(inputs, num_workers, batch_size, *parameters)

    def _read_in_batches(self, inputs, batch_size):
        items = (inputs[index] for index in range(len(inputs))) if isinstance(inputs, Sized) else iter(inputs)
        count = batch_size * BATCHES_AHEAD if batch_size > 1 else 1
        while batch := list(islice(items, count)):
            yield from self._read(batch, batch_size)

    def _read(self, inputs, batch_size=1):
        """Inputs to [`Recording`]s; the recognizer hears those without a text, `batch_size` at once."""
        recordings = [self._load(item) for item in inputs]
        unheard = [recording for recording in recordings if recording.text is None]
        texts = self._transcribe([recording.waveform for recording in unheard], batch_size)
        for recording, text in zip(unheard, texts, strict=True):
            recording.text = text
        return recordings

    def _load(self, source):
        source, text, name = _unpack(source)
        try:
            if not isinstance(text, (str, type(None))):
                raise AudioError(f"{name}: its text is a {type(text).__name__}; give a string.")
            if text is not None and not text.strip():
                self._warn_once("A text is empty")
            waveform = load_audio(source, self._rate, target_sampling_rate=self._rate, max_seconds=MAX_SECONDS)
            return Recording(waveform, text)
        except AudioError as refusal:
            # A batch goes on without this recording; a moment of silence holds its place.
            return Recording([0.0], "", str(refusal))

    def _transcribe(self, waveforms, batch_size):
        """What the recognizer hears in each, or nothing where there is no recognizer."""
        if waveforms and not self._transcriber:
            self._warn_once("No text and no recognizer were given")
        return self._transcriber.transcribe(waveforms, batch_size) if self._transcriber else [""] * len(waveforms)

    def _warn_once(self, reason):
        if not self._warned and "text" in self.model.config.modalities:
            warnings.warn(f"{reason}: M4SER answers from speech alone.", stacklevel=2)
            self._warned = True

    def preprocess(self, inputs):
        recording = inputs if isinstance(inputs, Recording) else self._read([inputs])[0]
        features = self.processor(recording.waveform, recording.text, sampling_rate=self._rate)
        return {**features.to(self.dtype), "text": recording.text, "error": recording.error}

    def _forward(self, model_inputs, return_correction=False, return_embeddings=False):
        text, error = model_inputs.pop("text"), model_inputs.pop("error")
        output = self.model(**model_inputs)
        outputs = {
            "logits": output.logits.float(),
            "input_ids": model_inputs["input_ids"],
            "text": text,
            "error": error,
        }
        if return_embeddings:
            outputs["embeddings"] = output.embeddings.float()
        if return_correction:
            corrections = self.model.correct(
                model_inputs["input_ids"], model_inputs["text_attention_mask"], output.text_hidden_states
            )
            # One recording comes without a list around its text; the parent hands on batches item by item.
            outputs["correction"] = corrections if isinstance(text, list) else corrections[0]
        return outputs

    def postprocess(
        self,
        model_outputs,
        return_transcript=False,
        return_correction=False,
        return_embeddings=False,
        abstain_below=None,
        **kwargs,
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
        if return_embeddings:
            answer["embeddings"] = model_outputs["embeddings"][0].tolist()
        return answer if len(answer) > 1 else answer["scores"]


def rank(scores, top_k=None, abstain_below=None):
    """Of {label: score}: {"scores"}, the best `top_k`, and where `abstain_below` is given "label", as of a call."""
    ranked = sorted(
        ({"score": score, "label": label} for label, score in scores.items()), key=lambda one: -one["score"]
    )
    answer = {"scores": ranked[:top_k]}
    if abstain_below is not None:
        answer["label"] = ranked[0]["label"] if ranked[0]["score"] >= abstain_below else None
    return answer


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


def aggregate(entries, abstain_below=None):
    """The answer to a whole recording: the mean over the entries of its timeline, weighted by their lengths.

    Raises:
        AudioError: there is no entry.
    """
    if not entries:
        raise AudioError('The recognizer heard no speech; give window= in seconds instead of "segments".')
    scores = [{item["label"]: item["score"] for item in entry["scores"]} for entry in entries]
    return rank(mean_scores(scores, [entry["end"] - entry["start"] for entry in entries]), abstain_below=abstain_below)


def _unpack(source):
    """A recording without its text, the text (None where it is to be heard), and what to call it."""
    if not isinstance(source, dict):
        return source, None, "the recording"
    row = dict(source)
    hypothesis = row.pop("hypothesis", None)
    text = row.pop("text", hypothesis)
    text = text.get("text") if isinstance(text, dict) else text
    return row.get("audio", row), text, row.get("path") or "the recording"


def _check_window(window, hop):
    if window == "segments" and hop is None:
        return
    if not isinstance(window, (int, float)) or not MIN_SECONDS <= window <= MAX_SECONDS:
        raise ValueError(
            f'window is a length of {MIN_SECONDS} to {MAX_SECONDS} seconds, or "segments" and no hop, not {window!r}.'
        )
    if hop is not None and not (isinstance(hop, (int, float)) and MIN_SECONDS <= hop <= window):
        raise ValueError(f"hop is a length of {MIN_SECONDS} seconds to that of the window ({window:g}), not {hop!r}.")


def _first_line(error):
    return next(iter(str(error).splitlines()), type(error).__name__)
