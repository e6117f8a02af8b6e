"""A Whisper model: what it hears in recordings of up to one window, and how sure it is of every token."""

from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

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

from m4ser.data.schema import SAMPLING_RATE, DataError
from m4ser.files import folder_digest

# Of log-probabilities and probabilities; more would be noise of the arithmetic.
DECIMALS = 4


class Whisper:
    """A Whisper model on one device; the weights are loaded when the first recording comes.

    Args:
        name: Hub id, or folder of a saved model.
        device: where it computes: in bfloat16 on a GPU that has it, in float16 on others, in float32 on a CPU.
        revision: branch, tag or commit on the Hub.
        language: spoken in the recordings, as "en" or "english"; a multilingual model that is not told detects it
            in each recording.

    Attributes:
        window: samples at 16 kHz that it hears at once, 30 seconds.

    Raises:
        DataError: no such model, one that is not Whisper, or a language that it does not know.
    """

    def __init__(self, name, device="cpu", revision=None, language=None):
        self.name, self.device = str(name), torch.device(device)
        self.dtype = _dtype(self.device)
        try:
            config_file = Path(cached_file(self.name, "config.json", revision=revision))
            # In the Hub's cache a folder bears the name of its commit, so that what follows is of one revision.
            self._revision = None if Path(self.name).is_dir() else config_file.parent.name
            model_type = AutoConfig.from_pretrained(self.name, revision=self._revision).model_type
            if model_type != "whisper":
                raise DataError(
                    f"{name} is a {model_type} model, not Whisper; run it yourself and give what it hears to the "
                    "builder, --hypotheses FILE.jsonl."
                )
            self._generation = GenerationConfig.from_pretrained(self.name, revision=self._revision)
            self._features = WhisperFeatureExtractor.from_pretrained(self.name, revision=self._revision)
            self._tokenizer = WhisperTokenizer.from_pretrained(self.name, revision=self._revision)
        except DataError:
            raise
        except (OSError, ValueError) as error:
            raise DataError(f"No speech recognizer at {self.name!r}: {error}") from error
        self.window = self._features.n_samples
        self.language = self._known_language(language)

    def _known_language(self, language):
        if language is None:
            return None
        if not self._multilingual:
            raise DataError(f"{self.name} knows English only; leave --language out.")
        code = TO_LANGUAGE_CODE.get(language.lower(), language.lower())
        if f"<|{code}|>" not in self._generation.lang_to_id:
            raise DataError(f"{self.name} does not know the language {language!r}; give a code such as en.")
        return code

    @property
    def _multilingual(self):
        return getattr(self._generation, "is_multilingual", False)

    @cached_property
    def settings(self):
        """All that decides on an answer but the samples.

        The batch size is left out, though the last digits of a log-probability may depend on it: what was
        transcribed before the memory ran out is as good as what comes after.
        """
        folder = Path(self.name)
        model = (
            {"content": folder_digest(folder)} if folder.is_dir() else {"id": self.name, "revision": self._revision}
        )
        return {"model": model, "language": self.language, "dtype": str(self.dtype), "decoding": "greedy"}

    @cached_property
    def _model(self):
        try:
            model = WhisperForConditionalGeneration.from_pretrained(
                self.name, revision=self._revision, dtype=self.dtype
            )
        except (OSError, ValueError) as error:
            raise DataError(f"The weights of {self.name!r} cannot be loaded: {error}") from error
        return model.to(self.device).eval()

    @torch.inference_mode()
    def recognize(self, recordings):
        """Recognize a batch, greedily.

        Args:
            recordings: float32 arrays of shape (samples,) at 16 kHz, at most `window` samples each.

        Returns:
            A dict for each: `text`; `token_ids` and `token_log_probabilities`, natural logarithms, with the end's last
            unless the text was cut at the model's length limit; and `no_speech_probability`.
        """
        features = self._features(recordings, sampling_rate=SAMPLING_RATE, return_tensors="pt").input_features
        encoded = self._model.get_encoder()(features.to(self.device, self.dtype))
        # An English-only model refuses to be told a task.
        options = {"language": self.language, "task": "transcribe"} if self._multilingual else {}
        with self._overheard() as silences:
            output = self._model.generate(
                encoder_outputs=encoded,
                attention_mask=torch.ones(encoded.last_hidden_state.shape[:2], device=self.device),
                # Else a token of time, which may come though nobody asked for it, starts another round from there.
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
        return [self._answer(*row) for row in zip(tokens.tolist(), scores.tolist(), silences, strict=True)]

    @contextmanager
    def _overheard(self):
        """A list that gets each recording's probability of <|nospeech|> as the first token, while a text is generated.

        Asked for by itself, it would cost one more look of every decoder layer at the whole window.
        """
        probabilities, no_speech = [], self._generation.no_timestamps_token_id - 1

        def listen(module, inputs, logits):
            if not probabilities:  # the start alone, or the prompt that begins with it
                probabilities.extend(logits[:, 0].float().softmax(-1)[:, no_speech].tolist())

        with self._model.proj_out.register_forward_hook(listen):
            yield probabilities

    def _answer(self, tokens, log_probabilities, no_speech_probability):
        end = self._generation.eos_token_id
        length = tokens.index(end) + 1 if end in tokens else len(tokens)
        return {
            "text": self._tokenizer.decode(tokens[:length], skip_special_tokens=True).strip(),
            "token_ids": tokens[:length],
            "token_log_probabilities": [round(value, DECIMALS) for value in log_probabilities[:length]],
            "no_speech_probability": round(no_speech_probability, DECIMALS),
        }


def _dtype(device):
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
