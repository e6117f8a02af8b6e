"""The base of every system: encoders, masks, pretrained parts, the emotion head, and the output of a forward."""

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch
import torch.nn.functional as F
from torch import nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForAudioClassification,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers import initialization as init
from transformers.utils import ModelOutput, logging

from .configuration_m4ser import MODALITIES, EmotionConfig, unregularized
from .inputs_m4ser import first_line
from .recording_m4ser import OutputRecorder, Selection
from .saving_m4ser import saved_together
from .text_encoder_m4ser import TextEncoder, without_pooler
from .whisper_encoder_m4ser import make_speech_encoder

logger = logging.get_logger(__name__)

Model = TypeVar("Model", bound="EmotionModel")

# With any of these, the caller wants other weights than the folder's, or checks them by the report.
LENIENT_OPTIONS = ("ignore_mismatched_sizes", "state_dict", "quantization_config", "output_loading_info")


class ModelError(ValueError):
    """A saved model that cannot be used; the message names it and says what is wrong."""


@dataclass
class EmotionOutput(ModelOutput):
    """Output of a forward. B recordings, m frames, n tokens, width d, e emotions.

    Args:
        loss: cross-entropy of the emotions (eq. 19), when `labels` are given.
        logits (B, e): emotions.
        embeddings (B, d): what the emotion head and the contrastive loss are computed from.
        frame_mask (B, m): 1 on valid frames, 0 on padding.
        text_hidden_states (B, n, d): H_T of eq. 1.
        auxiliary_losses: the system's own losses by name, each (B,) or a scalar, with which its training adds to the
            emotion loss; when `labels` are given.
    """

    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    embeddings: torch.Tensor | None = None
    frame_mask: torch.Tensor | None = None
    text_hidden_states: torch.Tensor | None = None
    auxiliary_losses: dict[str, torch.Tensor] | None = None


class EmotionModel(PreTrainedModel):
    """Base of all systems: a speech encoder, a text encoder and an emotion head, whatever lies between them.

    A system builds its own modules after `super().__init__(config)` and ends with `self.add_head(width)`. Its
    `forward` takes the processor's inputs and `labels`, and returns an [`EmotionOutput`]; the batch's columns that it
    names among its arguments besides these are passed in training, those of `extra_inputs` at inference, too.
    """

    config: EmotionConfig
    config_class: type[EmotionConfig] = EmotionConfig
    base_model_prefix = "m4ser"
    main_input_name = "input_values"
    input_modalities = ["audio", "text"]  # noqa: RUF012
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    # Parts whose tensors meet inside them: each stays whole on one device.
    _no_split_modules = [  # noqa: RUF012
        "SpeechEncoder",
        "WhisperSpeechEncoder",
        "TextEncoder",
        "MultimodalFusion",
        "CrossModalEncoder",
        "CorrectionDecoder",
    ]

    # The system's name in tables.
    title: ClassVar[str] = ""
    # Whether it computes more from the waveform than the speech encoder's frames, which then cannot replace it.
    needs_waveforms: ClassVar[bool] = False
    # Columns of a batch that `forward` takes besides the processor's four inputs, in training and at inference.
    extra_inputs: ClassVar[tuple[str, ...]] = ()
    # Arguments of `forward` that training sets and inference does not.
    training_options: ClassVar[dict[str, Any]] = {}

    def __init__(self, config: EmotionConfig):
        super().__init__(config)
        self.speech_encoder = make_speech_encoder(config) if "speech" in config.modalities else None
        self.text_encoder = TextEncoder(config) if "text" in config.modalities else None
        if self.speech_encoder is None:
            self.main_input_name = "input_ids"
        # The auxiliary tasks of [`M4SERModel`], which other systems lack.
        self.error_detector: nn.Module | None = None
        self.error_corrector: nn.Module | None = None

    def add_head(self, width: int) -> None:
        """Add the emotion head on embeddings of this width, and initialize what is not pretrained."""
        self.dropout = nn.Dropout(self.config.classifier_dropout)
        self.classifier = nn.Linear(width, self.config.num_emotions)
        self.post_init()

    @classmethod
    def from_encoders(
        cls: type[Model], speech_id: str | None = None, text_id: str | None = None, **config: Any
    ) -> Model:
        """Return a new model around pretrained encoders, the rest at random (Alg. 1, line 3).

        Args:
            speech_id, text_id: folders or Hub ids, such as "facebook/hubert-base-ls960" and
                "google-bert/bert-base-uncased"; None for a modality that the config leaves out.
            config: fields of the system's config. Those that the text encoder's tokenizer decides on
                ([`EmotionConfig.tokenizer_fields`]) are its own unless given.

        Raises:
            ValueError: an encoder that cannot serve, or none for a modality.
        """
        for modality, encoder_id in (("speech", speech_id), ("text", text_id)):
            if encoder_id is None and modality in config.get("modalities", MODALITIES):
                raise ValueError(f'Give a {modality} encoder, or leave "{modality}" out of modalities.')
        # Whatever precision the encoders were saved in, they join the rest in its own.
        precision = {"dtype": torch.get_default_dtype()}
        trust = {"trust_remote_code": False}
        if speech_id is not None:
            changes = {**precision, **config.get("speech_config", {})}
            config["speech_config"] = unregularized(_pretrained_config(speech_id, changes), changes)
        if text_id is not None:
            config["text_config"] = _pretrained_config(text_id, {**precision, **config.get("text_config", {})})
            config = {**cls.config_class.tokenizer_fields(AutoTokenizer.from_pretrained(text_id, **trust)), **config}
        model = cls(cls.config_class(**config))
        if model.speech_encoder is not None and speech_id is not None:
            model.speech_encoder.set_encoder(
                AutoModel.from_pretrained(speech_id, config=model.config.speech_config, **precision, **trust)
            )
        if model.text_encoder is not None and text_id is not None:
            text_config = model.config.text_config
            model.text_encoder.encoder = AutoModel.from_pretrained(
                text_id, config=text_config, **precision, **without_pooler(text_config), **trust
            )
        return model

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *args: Any, **kwargs: Any) -> Any:
        """Load as transformers does, from safetensors alone, and refuse weights that are not whole.

        transformers would draw what is missing at random. It still does for a caller who says so: by
        `ignore_mismatched_sizes=True`, a `state_dict` of their own, a `quantization_config`, or `output_loading_info=
        True`, whose report has to be looked at.

        Raises:
            ModelError: weights are missing, not of this config, of another shape, NaN or infinite.
            OSError: there is no such model, or none in safetensors.
        """
        options = {"use_safetensors": True, **kwargs}
        # Not `is None` alone: a state_dict may be empty.
        if any(options.get(name) not in (None, False) for name in LENIENT_OPTIONS):
            return super().from_pretrained(pretrained_model_name_or_path, *args, **options)
        # transformers' own refusal of another shape does not name the weight.
        options |= {"ignore_mismatched_sizes": True, "output_loading_info": True}
        try:
            # Any: transformers' own type does not know of the report.
            loaded: Any = super().from_pretrained(pretrained_model_name_or_path, *args, **options)
        except (ValueError, OSError, RuntimeError):
            raise
        except Exception as error:  # of safetensors and pickle, which an index of shards may name
            name = str(pretrained_model_name_or_path)
            raise ModelError(f"The model {name!r} is damaged: {first_line(error)}") from error
        model, report = loaded
        _refuse_damaged(model, report, str(pretrained_model_name_or_path))
        return model

    def fingerprint(self) -> str:
        """Return "dtype-SHA256" of all weights: their names and values."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
        return f"{self.dtype}-{digest.hexdigest()}".removeprefix("torch.")

    def save_pretrained(self, save_directory: str | os.PathLike, *args: Any, **kwargs: Any) -> None:
        """Save as transformers does, but as a whole ([`saved_together`]).

        A temperature that was fitted to other weights is dropped, with a warning.
        """
        fitted = self.config.calibrated_weights
        # Only then: weights that are sharded over devices have no fingerprint.
        if fitted is not None and fitted != self.fingerprint():
            logger.warning("The weights changed after calibration: the temperature is dropped; calibrate again.")
            self.config.calibration_temperature, self.config.calibrated_weights = 1.0, None
        if kwargs.get("distributed_checkpoint"):  # several processes write into one folder
            super().save_pretrained(save_directory, *args, **kwargs)
            return
        if kwargs.get("push_to_hub"):
            kwargs.setdefault("repo_id", Path(save_directory).name)
        with saved_together(save_directory) as folder:
            super().save_pretrained(folder, *args, **kwargs)

    def encode_speech(
        self,
        input_values: torch.Tensor | None,
        attention_mask: torch.Tensor | None,
        speech_hidden_states: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the frames (B, m, d) of waveforms (B, samples) and their mask (B, m), bool.

        Precomputed frames of the speech encoder, (B, m, d_S) with a mask (B, m), take the waveforms' role.

        Raises:
            ValueError: there are no waveforms, precomputed frames where the system `needs_waveforms`, or this model
                was built without a speech encoder.
        """
        if self.needs_waveforms and speech_hidden_states is not None:
            raise ValueError(f"{self.title} needs the waveforms: give input_values instead of speech_hidden_states.")
        if self.speech_encoder is None or (input_values is None and speech_hidden_states is None):
            raise ValueError(missing_input("speech", "input_values", self.speech_encoder))
        return self.speech_encoder(input_values, attention_mask, speech_hidden_states)

    def encode_text(
        self, input_ids: torch.Tensor | None, text_attention_mask: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the token states (B, n, d) of hypotheses (B, n) and their mask (B, n), bool.

        Raises:
            ValueError: there are no hypotheses, or this model was built without a text encoder.
        """
        if self.text_encoder is None or input_ids is None:
            raise ValueError(missing_input("text", "input_ids", self.text_encoder))
        mask = torch.ones_like(input_ids) if text_attention_mask is None else text_attention_mask
        return self.text_encoder(input_ids, mask), mask.bool()

    def predict_emotions(
        self, embeddings: torch.Tensor, labels: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return logits (B, e) of embeddings (B, width), eq. 18, and their cross-entropy against labels (B,)."""
        logits = self.classifier(self.dropout(embeddings))
        return logits, None if labels is None else F.cross_entropy(logits, labels.to(logits.device))

    @property
    def can_correct(self) -> bool:
        """Whether the model has a `correct` that corrects hypotheses."""
        return self.error_corrector is not None

    @property
    def can_transcribe(self) -> bool:
        """Whether the model has a `transcribe` that needs no other ASR model."""
        return False

    @property
    def max_text_length(self) -> int | None:
        """The most tokens of a hypothesis; None where nothing limits them."""
        return None if self.text_encoder is None else self.text_encoder.max_length

    def attention_modules(self) -> dict[str, Sequence[nn.Module]]:
        """Return the attention outside the encoders by name; `output_attentions` gives its maps under these names."""
        return {}

    @contextmanager
    def record_outputs(
        self, output_hidden_states: Selection | None, output_attentions: bool | None
    ) -> Iterator[OutputRecorder]:
        """Record the hidden states and attention maps of the forward in this context, where requested.

        Args:
            output_hidden_states: True, or the indices of the layers to keep; the config's unless given.
            output_attentions: the config's unless given. Only eager attention has maps.
        """
        hidden_states = self.config.output_hidden_states if output_hidden_states is None else output_hidden_states
        attentions = self.config.output_attentions if output_attentions is None else output_attentions
        if attentions and self.config._attn_implementation != "eager":
            logger.warning_once(
                f"{self.config._attn_implementation} attention has no maps to output: load the model with "
                'attn_implementation="eager", or call model.set_attn_implementation("eager").'
            )
        recorder = OutputRecorder(hidden_states or False, bool(attentions))
        layers: dict[str, Sequence[Any]] = {}
        attention_modules = dict(self.attention_modules())
        encoders: dict[str, nn.Module] = {}
        if self.speech_encoder is not None:
            layers["speech_encoder"] = self.speech_encoder.layers
            attention_modules["speech_encoder"] = self.speech_encoder.attention_modules
        if self.text_encoder is not None:
            encoders["text_encoder"] = self.text_encoder.encoder
        with recorder.record(layers, attention_modules, encoders):
            yield recorder

    # None of a model without text, which transformers' own type does not foresee.
    def get_input_embeddings(self) -> nn.Embedding | None:  # type: ignore[override]
        return None if self.text_encoder is None else self.text_encoder.encoder.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        if self.text_encoder is not None:
            self.text_encoder.encoder.set_input_embeddings(value)

    def initialize_weights(self) -> None:
        """Initialize what is not loaded; the filterbank last, since the encoder's own initialization precedes it."""
        super().initialize_weights()
        if self.speech_encoder is not None and self.config.filterbank_init:
            self.speech_encoder.init_filterbank()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, (nn.Linear, nn.Embedding)):
            init.normal_(module.weight, mean=0.0, std=self.config.initializer_range)
            if isinstance(module, nn.Linear) and module.bias is not None:
                init.zeros_(module.bias)
        elif isinstance(module, nn.LayerNorm):
            init.ones_(module.weight)
            init.zeros_(module.bias)
        elif isinstance(module, nn.PReLU):
            init.constant_(module.weight, 0.25)


def load_model(name_or_path: Any, **kwargs: Any) -> Any:
    """Load a saved model of any system in eval mode; whatever is wrong with it becomes one sentence.

    Args:
        name_or_path: folder or Hub id.
        kwargs: of `from_pretrained`. No code of the model's own is run unless these say so.

    Raises:
        ModelError: there is no such model, it is damaged, or it is none of m4ser's.
    """
    name = str(name_or_path)
    try:
        model = AutoModelForAudioClassification.from_pretrained(name, **{"trust_remote_code": False, **kwargs})
    except ModelError:
        raise
    except OSError as error:
        raise ModelError(f"There is no model {name!r}: {first_line(error)}") from error
    except Exception as error:  # of safetensors, PyTorch and transformers, each in its own way
        raise ModelError(f"The model {name!r} cannot be loaded: {first_line(error)}") from error
    if not hasattr(model.config, "modalities"):
        raise ModelError(f"The model {name!r} is a {type(model).__name__}, none that m4ser trains.")
    return model


def _refuse_damaged(model: PreTrainedModel, report: Mapping[str, Any], name: str) -> None:
    found = {
        "are missing": report["missing_keys"],
        "are not of its config": report["unexpected_keys"],
        "have another shape than its config says": [key for key, *_ in report["mismatched_keys"]],
    }
    for what, keys in found.items():
        if keys:
            raise ModelError(
                f"The model {name!r} is not whole: {len(keys)} of its weights {what}, such as {min(keys)}."
            )
    for key, weight in model.state_dict().items():
        if weight.is_floating_point() and not weight.is_meta and not weight.isfinite().all():
            raise ModelError(f"The model {name!r} is damaged: its weight {key} holds NaN or infinite numbers.")


def missing_input(modality: str, name: str, encoder: nn.Module | None) -> str:
    """Return the sentence for a forward without a modality's input, or of a model without its encoder."""
    if encoder is None:
        return f"This model was built without a {modality} encoder."
    return f'This model needs {name}: give the processor\'s, or build it without "{modality}" in modalities.'


def _pretrained_config(encoder_id: str, changes: dict[str, Any]) -> PreTrainedConfig:
    config = AutoConfig.from_pretrained(encoder_id, trust_remote_code=False)
    config.update(changes)
    return config
