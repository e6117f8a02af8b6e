"""Configuration of M4SER: two encoders, the fusion between them, and what the paper's tables switch off."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, ClassVar, TypeVar

from transformers import AutoConfig, PreTrainedConfig, PreTrainedTokenizerBase

from .presets_m4ser import PRESETS

IEMOCAP_LABELS = ("angry", "happy", "neutral", "sad")
MODALITIES = ("speech", "text")
TEMPERATURES = (1e-3, 1e3)  # beyond, scores are 0 and 1, or all the same
PROBLEM_TYPE = "single_label_classification"  # as transformers calls it
REPRESENTATIONS = ("specific", "invariant")
# Every auxiliary task that there is, and those that a config has unless it says otherwise.
AUXILIARY_TASKS = ("detection", "correction", "recognition")
DEFAULT_AUXILIARY_TASKS = ("detection", "correction")

# Where transformers finds the classes in a saved folder, where m4ser is not installed.
AUTO_MAP = {
    "AutoConfig": "configuration_m4ser.M4SERConfig",
    "AutoModel": "modeling_m4ser.M4SERModel",
    "AutoModelForAudioClassification": "modeling_m4ser.M4SERModel",
    "AutoProcessor": "processing_m4ser.M4SERProcessor",
}
CUSTOM_PIPELINES = {
    "audio-classification": {
        "impl": "pipeline_m4ser.M4SERPipeline",
        "pt": ["AutoModelForAudioClassification"],
        "type": "audio",
    }
}

# Layerdrop and SpecAugment's masked-frame embedding leave parameters without a gradient in some steps, which stops
# training on several devices; a config that wants them says so.
UNREGULARIZED_SPEECH = {"layerdrop": 0.0, "encoder_layerdrop": 0.0, "mask_time_prob": 0.0, "mask_feature_prob": 0.0}

ENGLISH_CHARACTERS = " 'abcdefghijklmnopqrstuvwxyz"

Config = TypeVar("Config", bound="EmotionConfig")


class EmotionConfig(PreTrainedConfig):
    """Configuration of what all systems share ([`EmotionModel`]): two encoders and an emotion head.

    Args:
        speech_config (`PreTrainedConfig` or `dict`, *optional*): any encoder of the wav2vec 2.0 family, or
            Whisper's; HuBERT base by default.
        text_config (`PreTrainedConfig` or `dict`, *optional*): any BERT-like encoder; BERT base by default.
        hidden_size (`int`): the paper's d, to which both encoders are projected.
        num_attention_heads (`int`): heads of every attention outside the encoders (Table I: 12).
        intermediate_size (`int`, *optional*): feed-forward width of a cross-modal encoder; 4 x `hidden_size`.
        hidden_dropout (`float`): dropout outside the encoders and before the head.
        classifier_dropout (`float`): dropout before the emotion head (Table I: 0.5).
        modalities (`list[str]`): "speech", "text" or both (Table IV A). An encoder that is left out is not built.
        calibration_temperature (`float`): what the pipeline divides the logits by before their softmax, so that scores
            mean probabilities; `m4ser calibrate` fits it. The model's own logits are left as they are.
        calibrated_weights (`str`, *optional*): the fingerprint ([`EmotionModel.fingerprint`]) of the weights that the
            temperature was fitted to; it counts for no others.
        filterbank_init (`bool`): start the first convolution of an untrained speech encoder as a bank of mel-spaced
            sines and cosines.
        id2label, label2id (`dict`): the emotions; IEMOCAP's four by default.

    Raises:
        ValueError: an unknown modality or none, a hidden size that the heads do not divide, a temperature beyond
            `TEMPERATURES`, emotions of the same name, or another `problem_type` than of a single label.
    """

    sub_configs = {"speech_config": AutoConfig, "text_config": AutoConfig}  # noqa: RUF012
    presets: ClassVar[dict[str, dict[str, Any]]] = PRESETS
    # Of an output, transformers' Trainer gathers the logits alone.
    keys_to_ignore_at_inference = [  # noqa: RUF012
        "embeddings",
        "frame_mask",
        "text_hidden_states",
        "auxiliary_losses",
        "speech_specific",
        "text_specific",
        "invariant",
        "aed_logits",
        "aec_logits",
        "hidden_states",
        "attentions",
    ]

    def __init_subclass__(cls, **kwargs: Any):
        if "__init__" not in cls.__dict__:
            # transformers makes a dataclass of a config without an __init__ of its own, whose __init__ sets no field.
            def __init__(self: EmotionConfig, *args: Any, **fields: Any) -> None:
                super(cls, self).__init__(*args, **fields)

            cls.__init__ = __init__  # type: ignore[method-assign]
        super().__init_subclass__(**kwargs)

    def __init__(
        self,
        speech_config: PreTrainedConfig | dict[str, Any] | None = None,
        text_config: PreTrainedConfig | dict[str, Any] | None = None,
        hidden_size: int = 768,
        num_attention_heads: int = 12,
        intermediate_size: int | None = None,
        hidden_dropout: float = 0.1,
        classifier_dropout: float = 0.5,
        modalities: Sequence[str] = MODALITIES,
        calibration_temperature: float = 1.0,
        calibrated_weights: str | None = None,
        filterbank_init: bool = False,
        initializer_range: float = 0.02,
        id2label: Mapping[int, str] | None = None,
        label2id: Mapping[str, int] | None = None,
        **kwargs: Any,
    ):
        self.speech_config = _as_config(speech_config, "hubert")
        if not isinstance(speech_config, PreTrainedConfig):
            unregularized(self.speech_config, speech_config or {})
        self.text_config = _as_config(text_config, "bert")
        self.hidden_size = hidden_size
        self.num_attention_heads = num_attention_heads
        self.intermediate_size = 4 * hidden_size if intermediate_size is None else intermediate_size
        self.hidden_dropout = hidden_dropout
        self.classifier_dropout = classifier_dropout
        self.modalities = subset(modalities, MODALITIES, "modalities")
        self.calibration_temperature = calibration_temperature
        self.calibrated_weights = calibrated_weights
        self.filterbank_init = filterbank_init
        self.initializer_range = initializer_range
        if not self.modalities:
            raise ValueError('modalities is empty: give ["speech"], ["text"] or both.')
        for name in ("hidden_size", "num_attention_heads", "intermediate_size"):
            if not isinstance(size := getattr(self, name), int) or size < 1:
                raise ValueError(f"{name} is a whole number above 0, not {size!r}.")
        if hidden_size % num_attention_heads:
            raise ValueError(
                f"hidden_size ({hidden_size}) must be a multiple of num_attention_heads ({num_attention_heads})."
            )
        lowest, highest = TEMPERATURES
        if not (isinstance(calibration_temperature, int | float) and lowest <= calibration_temperature <= highest):
            raise ValueError(
                f"calibration_temperature is a number from {lowest:g} to {highest:g}, not {calibration_temperature!r}."
            )
        if kwargs.get("problem_type") not in (None, PROBLEM_TYPE):
            raise ValueError(f"A recording has one emotion: problem_type is {PROBLEM_TYPE}, or left out.")
        labels = dict(enumerate(IEMOCAP_LABELS)) if id2label is None else id2label
        labels = {int(index): label for index, label in labels.items()}
        if sorted(labels) != list(range(len(set(labels.values())))):
            raise ValueError(f"id2label has each emotion once, counted from 0, not {labels}.")
        indices = {label: index for index, label in labels.items()}
        if label2id and dict(label2id) != indices:
            raise ValueError(f"label2id is not id2label the other way round: {dict(label2id)}.")
        super().__init__(id2label=labels, label2id=indices, **kwargs)

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Any:
        """Make a config of a file's fields as transformers does; one of another type than it has to be is refused.

        Raises:
            ValueError: naming what is wrong.
        """
        try:
            return super().from_dict(config_dict, **kwargs)
        except ValueError:
            raise
        except Exception as error:  # of Python, and of the configs that the encoders have
            raise ValueError(
                f"The config has a field that is not what it has to be: {' '.join(str(error).split())}."
            ) from error

    @classmethod
    def preset(cls: type[Config], name: str, **overrides: Any) -> Config:
        """Return a named size: "base" (hubert-base, the paper's text), "large" (hubert-large, its Table V), "tiny".

        A dict given for `speech_config` or `text_config` changes the named fields of the preset's encoder only.

        Raises:
            ValueError: there is no such preset, or a field that this config does not have.
        """
        if name not in cls.presets:
            raise ValueError(f"There is no preset {name!r}: choose one of {', '.join(cls.presets)}.")
        fields = dict(cls.presets[name])
        for key, value in overrides.items():
            partial = key in cls.sub_configs and isinstance(value, dict) and "model_type" not in value
            fields[key] = {**fields[key], **value} if partial else value
        config = cls(**fields)
        refuse_unknown_fields(config, overrides)
        return config

    @classmethod
    def tokenizer_fields(cls, tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:  # noqa: ARG003  for subclasses
        """Return the fields of this config that a text encoder's tokenizer decides on."""
        return {}

    @property
    def num_emotions(self) -> int:
        """`num_labels`, which always is a number here."""
        return len(self.id2label or {})

    @property
    def is_adversarial(self) -> bool:
        """Whether there are specific and invariant representations, which a discriminator tells apart."""
        return False

    @property
    def is_calibrated(self) -> bool:
        """Whether scores can be used as probabilities."""
        return self.calibrated_weights is not None or self.calibration_temperature != 1

    @property
    def is_multimodal(self) -> bool:
        """Whether both modalities are there, so that there is something to fuse."""
        return len(self.modalities) == len(MODALITIES)


class M4SERConfig(EmotionConfig):
    """Configuration of [`M4SERModel`].

    Args:
        speech_config, text_config (`PreTrainedConfig` or `dict`, *optional*): the encoders, as of [`EmotionConfig`].
        representations (`list[str]`): "specific", "invariant" or both (Table IV B); none is the concat baseline.
        auxiliary_tasks (`list[str]`): "detection", "correction" or both (Table IV C), and "recognition", which the
            paper has not: a CTC head on the speech encoder, with which the network transcribes for itself. What is
            left out of these lists is not built.
        correction_intermediate_size (`int`): feed-forward width of the correction decoder.
        max_correction_length (`int`): longest replacement of one CHANGE, in tokens, the end token included. Without
            "detection" that is the longest text.
        correction_threshold (`float`, *optional*): [`M4SERModel.correct`] edits a token only where the probability of
            its best edit reaches this, from 0 to 1: the tag's, for a CHANGE times its replacement's (the geometric
            mean of its tokens'). To be chosen on validation data; the most probable tag by default.
        correction_bos_token_id, correction_eos_token_id (`int`, *optional*): what opens and closes a replacement: the
            tokenizer's [CLS] and [SEP]. By default what `text_config` calls so (RoBERTa: `<s>`, `</s>`), or BERT's.
        recognition_vocabulary (`list[str]`, *optional*): what each id of the CTC head stands for, "" for the blank,
            which is the first, and for tokens that are not spoken; English letters, the apostrophe and a space by
            default.
        kwargs: fields of [`EmotionConfig`].

    Raises:
        ValueError: as of [`EmotionConfig`], an unknown representation or task, or a vocabulary without the blank.
    """

    model_type = "m4ser"
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        **PRESETS,
        "tiny": {**PRESETS["tiny"], "correction_intermediate_size": 192},
    }

    def __init__(
        self,
        speech_config: PreTrainedConfig | dict[str, Any] | None = None,
        text_config: PreTrainedConfig | dict[str, Any] | None = None,
        representations: Sequence[str] = REPRESENTATIONS,
        auxiliary_tasks: Sequence[str] = DEFAULT_AUXILIARY_TASKS,
        correction_intermediate_size: int = 2048,
        max_correction_length: int = 10,
        correction_threshold: float | None = None,
        correction_bos_token_id: int | None = None,
        correction_eos_token_id: int | None = None,
        recognition_vocabulary: Sequence[str] | None = None,
        **kwargs: Any,
    ):
        super().__init__(speech_config, text_config, **kwargs)
        self.representations = subset(representations, REPRESENTATIONS, "representations")
        self.auxiliary_tasks = subset(auxiliary_tasks, AUXILIARY_TASKS, "auxiliary_tasks")
        self.correction_intermediate_size = correction_intermediate_size
        self.max_correction_length = max_correction_length
        self.correction_threshold = correction_threshold
        opening = (correction_bos_token_id, *_token_ids(self.text_config, "cls_token_id", "bos_token_id"), 101)
        closing = (correction_eos_token_id, *_token_ids(self.text_config, "sep_token_id", "eos_token_id"), 102)
        self.correction_bos_token_id = next(token_id for token_id in opening if token_id is not None)
        self.correction_eos_token_id = next(token_id for token_id in closing if token_id is not None)
        if recognition_vocabulary is None and "recognition" in self.auxiliary_tasks:
            recognition_vocabulary = ["", *ENGLISH_CHARACTERS]
        self.recognition_vocabulary = recognition_vocabulary and list(recognition_vocabulary)
        if self.recognition_vocabulary and (first := self.recognition_vocabulary[0]) != "":
            raise ValueError(f'recognition_vocabulary begins with the blank, "", not {first!r}.')
        # Whatever repository this config came from, the next folder it is saved to holds its own code.
        self.auto_map = dict(AUTO_MAP)
        # transformers runs a repository's pipeline only where its code is trusted. Where m4ser is installed, that is
        # not needed: the config names none, and m4ser's own is used.
        self.custom_pipelines = {} if __name__.startswith("m4ser.") else _custom_pipelines()

    def to_dict(self) -> dict[str, Any]:
        return {**super().to_dict(), "custom_pipelines": _custom_pipelines()}

    @classmethod
    def tokenizer_fields(cls, tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
        return {
            "correction_bos_token_id": tokenizer.cls_token_id,
            "correction_eos_token_id": tokenizer.sep_token_id,
        }

    @property
    def is_adversarial(self) -> bool:
        return self.is_multimodal and len(self.representations) == len(REPRESENTATIONS)


def _custom_pipelines() -> dict[str, dict[str, Any]]:
    return {name: dict(entry) for name, entry in CUSTOM_PIPELINES.items()}


def unregularized(speech_config: PreTrainedConfig, given: Mapping[str, Any]) -> PreTrainedConfig:
    """Return the config with `UNREGULARIZED_SPEECH`, but for the fields that were given."""
    for name, value in UNREGULARIZED_SPEECH.items():
        if name not in given and hasattr(speech_config, name):
            setattr(speech_config, name, value)
    return speech_config


def _as_config(value: PreTrainedConfig | dict[str, Any] | None, model_type: str) -> PreTrainedConfig:
    if isinstance(value, PreTrainedConfig):
        return value
    fields = {"model_type": model_type, **(value or {})}
    return AutoConfig.for_model(fields.pop("model_type"), **fields)


def _token_ids(text_config: PreTrainedConfig, *names: str) -> list[int | None]:
    return [getattr(text_config, name, None) for name in names]


def subset(values: Sequence[str], known: Sequence[str], name: str) -> list[str]:
    """Return `values` in the order of `known`; raise ValueError where one of them is not known."""
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ValueError(f"{name} knows {', '.join(known)}; it cannot hold {', '.join(map(repr, unknown))}.")
    return [value for value in known if value in values]


M4SERConfig.register_for_auto_class()


def refuse_unknown_fields(config: PreTrainedConfig, fields: Mapping[str, Any]) -> None:
    """Refuse fields that a config of this kind does not have, those of the encoders' configs within it, too.

    A config takes whatever it is given for an attribute of its own, so that a misspelled field would change nothing.

    Args:
        config: as the fields change it.

    Raises:
        ValueError: naming the field, and the nearest that there is.
    """
    known = {*dir(type(config)()), "attn_implementation"}
    for name, value in fields.items():
        if name not in known:
            nearest = get_close_matches(name, [field for field in known if not field.startswith("_")], n=1)
            hint = f"; did you mean {nearest[0]}?" if nearest else "."
            raise ValueError(f"{type(config).__name__} has no field {name}{hint}")
        nested = getattr(config, name, None)
        # What names its own type is a whole config, which may be another type's with fields of that.
        if isinstance(nested, PreTrainedConfig) and isinstance(value, Mapping) and "model_type" not in value:
            refuse_unknown_fields(nested, value)
