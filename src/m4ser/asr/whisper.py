"""Transcription by a Whisper model of recordings of up to one window, with the probability of every token."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import (
    AutoConfig,
    GenerationConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperTokenizer,
)
from transformers.models.whisper.tokenization_whisper import TO_LANGUAGE_CODE
from transformers.utils import cached_file

from m4ser.asr.confidence import TextPiece, word_confidences
from m4ser.data.schema import SAMPLING_RATE, DataError
from m4ser.files import folder_digest

logger = logging.getLogger(__name__)

# Of log-probabilities and probabilities; more would be noise of the arithmetic.
DECIMALS = 4
UNFINISHED = "\N{REPLACEMENT CHARACTER}"  # the first bytes of a character decode to it


class Whisper:
    """A Whisper model on one device; the weights are loaded when the first recording comes.

    Args:
        name: Hub id, or folder of a saved model.
        device: where it computes: in bfloat16 on a GPU that has it, in float16 on others, in float32 on a CPU.
        revision: branch, tag or commit on the Hub.
        language: spoken in the recordings, as "en" or "english"; a multilingual model detects it in each recording
            by default.

    Attributes:
        window: samples at 16 kHz that it takes at once, 30 seconds.

    Raises:
        DataError: no such model, one that is not Whisper, or a language that it does not know.
    """

    def __init__(
        self,
        name: str | Path,
        device: torch.device | str = "cpu",
        revision: str | None = None,
        language: str | None = None,
    ):
        self.name, self.device = str(name), torch.device(device)
        self.dtype = _dtype(self.device)
        try:
            config_file = cached_file(self.name, "config.json", revision=revision)
            # In the Hub's cache a folder bears the name of its commit, so that what follows is of one revision.
            self._revision = None if Path(self.name).is_dir() else Path(str(config_file)).parent.name
            at = self._at_revision
            model_type = AutoConfig.from_pretrained(self.name, trust_remote_code=False, **at).model_type
            if model_type != "whisper":
                raise DataError(
                    f"{name} is a {model_type} model, not Whisper; run it yourself and give its hypotheses to the "
                    "builder, --hypotheses FILE.jsonl."
                )
            # Any: Whisper's own fields, such as lang_to_id, are in no type.
            self._generation: Any = GenerationConfig.from_pretrained(self.name, **at)
            self._features = WhisperFeatureExtractor.from_pretrained(self.name, **at)
            self._tokenizer = WhisperTokenizer.from_pretrained(self.name, **at)
        except DataError:
            raise
        except (OSError, ValueError) as error:
            raise DataError(f"No ASR model at {self.name!r}: {error}") from error
        self.window: int = self._features.n_samples
        self.language = self._known_language(language)

    def _known_language(self, language: str | None) -> str | None:
        if language is None:
            return None
        if not self._multilingual:
            raise DataError(f"{self.name} is an English-only model; leave --language out.")
        code = TO_LANGUAGE_CODE.get(language.lower(), language.lower())
        if f"<|{code}|>" not in self._generation.lang_to_id:
            raise DataError(f"{self.name} does not know the language {language!r}; give a code such as en.")
        return code

    @property
    def _at_revision(self) -> dict[str, Any]:
        return {} if self._revision is None else {"revision": self._revision}

    @property
    def _multilingual(self) -> bool:
        return getattr(self._generation, "is_multilingual", False)

    @cached_property
    def settings(self) -> dict[str, Any]:
        """All that a transcription depends on but the samples.

        The batch size is left out, though the last digits of a log-probability may depend on it: what was
        transcribed before the memory ran out is as good as what comes after.
        """
        folder = Path(self.name)
        model = (
            {"content": folder_digest(folder)} if folder.is_dir() else {"id": self.name, "revision": self._revision}
        )
        return {"model": model, "language": self.language, "dtype": str(self.dtype), "decoding": "greedy"}

    @cached_property
    def _model(self) -> Any:  # Whisper's own methods have types that its class does not fit
        logger.info("Loading %s in %s on %s", self.name, self.dtype, self.device)
        try:
            model: Any = WhisperForConditionalGeneration.from_pretrained(
                self.name, dtype=self.dtype, **self._at_revision
            )
        except (OSError, ValueError) as error:
            raise DataError(f"The weights of {self.name!r} cannot be loaded: {error}") from error
        return model.to(self.device).eval()

    @torch.inference_mode()
    def transcribe_batch(self, recordings: Sequence[np.ndarray]) -> list[dict[str, Any]]:
        """Transcribe a batch, greedily.

        Args:
            recordings: float32 arrays of shape (samples,) at 16 kHz, at most `window` samples each.

        Returns:
            A dict for each: `text`; `token_ids` and `token_log_probabilities`, natural logarithms, with the end's last
            unless the text was cut at the model's length limit; and `no_speech_probability`.
        """
        features = self._features(list(recordings), sampling_rate=SAMPLING_RATE, return_tensors="pt").input_features
        encoded = self._model.get_encoder()(features.to(self.device, self.dtype))
        # An English-only model refuses a task.
        options = {"language": self.language, "task": "transcribe"} if self._multilingual else {}
        with self._no_speech_probabilities() as no_speech:
            output = self._model.generate(
                encoder_outputs=encoded,
                attention_mask=torch.ones(encoded.last_hidden_state.shape[:2], device=self.device),
                # Else a timestamp token, which may come even so, starts another round from there.
                force_unique_generate_call=True,
                return_dict_in_generate=True,
                output_scores=True,
                return_timestamps=False,
                do_sample=False,
                num_beams=1,
                **options,
            )
        scores = self._model.compute_transition_scores(output.sequences, output.scores, normalize_logits=True)
        # The sequences begin with the prompt, which has no scores.
        tokens = output.sequences[:, -scores.shape[1] :]
        return [self._transcription(*row) for row in zip(tokens.tolist(), scores.tolist(), no_speech, strict=True)]

    @contextmanager
    def _no_speech_probabilities(self) -> Iterator[list[float]]:
        """Give a list that gets each recording's probability of <|nospeech|> as the first token of a generation.

        Computed by itself, it would cost one more pass of every decoder layer over the whole window.
        """
        probabilities: list[float] = []
        no_speech = self._generation.no_timestamps_token_id - 1

        def record(*call: Any) -> None:
            _, _, logits = call  # module, inputs, output
            if not probabilities:  # the start alone, or the prompt that begins with it
                probabilities.extend(logits[:, 0].float().softmax(-1)[:, no_speech].tolist())

        with self._model.proj_out.register_forward_hook(record):
            yield probabilities

    def word_confidences(self, transcription: Mapping[str, Any]) -> list[float]:
        """Return the confidence in each word of the text of a transcription by `transcribe_batch`, from 0 to 1."""
        log_probabilities = transcription["token_log_probabilities"]
        pieces = self._text_pieces(transcription["token_ids"], log_probabilities)
        confidences = word_confidences(transcription["text"], pieces, log_probabilities)
        return [round(confidence, DECIMALS) for confidence in confidences]

    def _text_pieces(self, token_ids: Sequence[int], log_probabilities: Sequence[float]) -> list[TextPiece]:
        """Return the text that tokens decode to in the smallest pieces of whole characters.

        A character may take several tokens; those that are no text, such as the end, are in no piece.
        """
        pieces: list[TextPiece] = []
        text = ""
        tokens: list[int] = []
        values: list[float] = []
        for token, value in zip(token_ids, log_probabilities, strict=True):
            if not self._decode([token]):
                continue
            if not text.endswith(UNFINISHED):
                tokens, values = [], []
                pieces.append(("", values))
            tokens.append(token)
            values.append(value)
            text = self._decode(tokens)
            pieces[-1] = (text, values)
        return pieces

    def _decode(self, token_ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(token_ids, skip_special_tokens=True))

    def _transcription(
        self, tokens: list[int], log_probabilities: list[float], no_speech_probability: float
    ) -> dict[str, Any]:
        end = self._generation.eos_token_id
        length = tokens.index(end) + 1 if end in tokens else len(tokens)
        return {
            "text": self._decode(tokens[:length]).strip(),
            "token_ids": tokens[:length],
            "token_log_probabilities": [round(value, DECIMALS) for value in log_probabilities[:length]],
            "no_speech_probability": round(no_speech_probability, DECIMALS),
        }


def _dtype(device: torch.device) -> torch.dtype:
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
