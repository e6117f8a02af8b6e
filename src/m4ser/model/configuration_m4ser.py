"""Configuration of M4SER: two encoders, the fusion between them, and what the paper's tables switch off."""

from transformers import AutoConfig, PreTrainedConfig

IEMOCAP_LABELS = ("angry", "happy", "neutral", "sad")
MODALITIES = ("speech", "text")
REPRESENTATIONS = ("specific", "invariant")
AUXILIARY_TASKS = ("detection", "correction")

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
UNREGULARIZED_SPEECH = {"layerdrop": 0.0, "mask_time_prob": 0.0, "mask_feature_prob": 0.0}

# The tiny preset reads 25 ms windows every 10 ms instead of HuBERT's seven small strides: as fast as a spectrogram
# on a CPU, and short enough a stack to be trained from scratch on an hour of speech. Its weights start wider than
# BERT's 0.02, which suits a width of 768: at 0.02 a width of 96 stands still for its first epochs.
_TINY_SPEECH = {
    "model_type": "hubert",
    "hidden_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 192,
    "conv_dim": [96, 96, 96],
    "conv_kernel": [400, 3, 3],
    "conv_stride": [160, 2, 2],
    "num_feat_extract_layers": 3,
    "feat_extract_norm": "layer",
    "conv_bias": True,
    "do_stable_layer_norm": True,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
    "initializer_range": 0.1,
}
_TINY_TEXT = {
    "model_type": "bert",
    "vocab_size": 512,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "max_position_embeddings": 128,
    "initializer_range": 0.1,
}
_LARGE_SPEECH = {
    "model_type": "hubert",
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "feat_extract_norm": "layer",
    "conv_bias": True,
    "do_stable_layer_norm": True,
}
PRESETS = {
    "base": {"speech_config": {"model_type": "hubert"}, "text_config": {"model_type": "bert"}},
    "large": {"speech_config": _LARGE_SPEECH, "text_config": {"model_type": "bert"}},
    "tiny": {
        "speech_config": _TINY_SPEECH,
        "text_config": _TINY_TEXT,
        "hidden_size": 96,
        "num_attention_heads": 4,
        "intermediate_size": 192,
        "correction_intermediate_size": 192,
        "filterbank_init": True,
        "initializer_range": 0.1,
    },
}


class M4SERConfig(PreTrainedConfig):
    """Configuration of [`M4SERModel`].

    Args:
        speech_config (`PreTrainedConfig` or `dict`, *optional*): any encoder of the wav2vec 2.0 family; HuBERT base
            by default.
        text_config (`PreTrainedConfig` or `dict`, *optional*): any BERT-like encoder; BERT base by default.
        hidden_size (`int`): the paper's d, to which both encoders are projected.
        num_attention_heads (`int`): heads of every attention outside the encoders (Table I: 12).
        intermediate_size (`int`, *optional*): feed-forward width of a cross-modal encoder; 4 x `hidden_size`.
        hidden_dropout (`float`): dropout inside fusion and correction.
        classifier_dropout (`float`): dropout before the emotion head (Table I: 0.5).
        correction_intermediate_size (`int`): feed-forward width of the correction decoder.
        max_correction_length (`int`): longest replacement of one CHANGE, in tokens, the end token included. Without
            "detection" that is the longest text.
        correction_threshold (`float`, *optional*): [`M4SERModel.correct`] edits a token only where the probability of
            its best edit reaches this, from 0 to 1: the tag's, for a CHANGE times its replacement's (the geometric
            mean of its tokens'). To be chosen on validation data; the most probable tag by default.
        correction_bos_token_id, correction_eos_token_id (`int`, *optional*): what opens and closes a replacement: the
            tokenizer's [CLS] and [SEP]. By default what `text_config` calls so (RoBERTa's <s> and </s>), or BERT's.
        modalities (`list[str]`): "speech", "text" or both (Table IV A).
        representations (`list[str]`): "specific", "invariant" or both (Table IV B); none is the concat baseline.
        auxiliary_tasks (`list[str]`): "detection", "correction" or both (Table IV C). What is left out of these
            three lists is not built.
        calibration_temperature (`float`): what the pipeline divides the logits by before their softmax, so that scores
            mean probabilities; `m4ser calibrate` fits it. The model's own logits are left as they are.
        filterbank_init (`bool`): start the first convolution of an untrained speech encoder as a bank of mel-spaced
            sines and cosines.
        id2label, label2id (`dict`): the emotions; IEMOCAP's four by default.

    Raises:
        ValueError: a name that none of the three lists knows, no modality, a hidden size that the heads do not
            divide, or a temperature that is not above 0.
    """

    model_type = "m4ser"
    sub_configs = {"speech_config": AutoConfig, "text_config": AutoConfig}  # noqa: RUF012

    def __init__(
        self,
        speech_config=None,
        text_config=None,
        hidden_size=768,
        num_attention_heads=12,
        intermediate_size=None,
        hidden_dropout=0.1,
        classifier_dropout=0.5,
        correction_intermediate_size=2048,
        max_correction_length=10,
        correction_threshold=None,
        correction_bos_token_id=None,
        correction_eos_token_id=None,
        modalities=MODALITIES,
        representations=REPRESENTATIONS,
        auxiliary_tasks=AUXILIARY_TASKS,
        calibration_temperature=1.0,
        filterbank_init=False,
        initializer_range=0.02,
        id2label=None,
        label2id=None,
        **kwargs,
    ):
        self.speech_config = _as_config(speech_config, {"model_type": "hubert", **UNREGULARIZED_SPEECH})
        self.text_config = _as_config(text_config, {"model_type": "bert"})
        self.hidden_size = hidden_size
        self.num_attention_heads = num_attention_heads
        self.intermediate_size = intermediate_size or 4 * hidden_size
        self.hidden_dropout = hidden_dropout
        self.classifier_dropout = classifier_dropout
        self.correction_intermediate_size = correction_intermediate_size
        self.max_correction_length = max_correction_length
        self.correction_threshold = correction_threshold
        opening = (correction_bos_token_id, *_token_ids(self.text_config, "cls_token_id", "bos_token_id"), 101)
        closing = (correction_eos_token_id, *_token_ids(self.text_config, "sep_token_id", "eos_token_id"), 102)
        self.correction_bos_token_id = next(token_id for token_id in opening if token_id is not None)
        self.correction_eos_token_id = next(token_id for token_id in closing if token_id is not None)
        self.modalities = _subset(modalities, MODALITIES, "modalities")
        self.representations = _subset(representations, REPRESENTATIONS, "representations")
        self.auxiliary_tasks = _subset(auxiliary_tasks, AUXILIARY_TASKS, "auxiliary_tasks")
        self.calibration_temperature = calibration_temperature
        self.filterbank_init = filterbank_init
        self.initializer_range = initializer_range
        if not self.modalities:
            raise ValueError('modalities is empty: give ["speech"], ["text"] or both.')
        if hidden_size % num_attention_heads:
            raise ValueError(
                f"hidden_size ({hidden_size}) must be a multiple of num_attention_heads ({num_attention_heads})."
            )
        if not 0 < calibration_temperature < float("inf"):
            raise ValueError(f"calibration_temperature must be above 0, not {calibration_temperature}.")
        if id2label is None:
            id2label = dict(enumerate(IEMOCAP_LABELS))
        id2label = {int(index): label for index, label in id2label.items()}
        label2id = label2id or {label: index for index, label in id2label.items()}
        super().__init__(id2label=id2label, label2id=label2id, **kwargs)
        # Whatever repository this config came from, the next folder it is saved to holds its own code.
        self.auto_map = dict(AUTO_MAP)
        # transformers runs a repository's pipeline only where its code is trusted. Where m4ser is installed, that is
        # not needed: the config names none, and m4ser's own answers.
        self.custom_pipelines = {} if __name__.startswith("m4ser.") else _custom_pipelines()

    def to_dict(self):
        return {**super().to_dict(), "custom_pipelines": _custom_pipelines()}

    @classmethod
    def preset(cls, name, **overrides):
        """A named size: "base" (hubert-base, the paper's text), "large" (hubert-large, its Table V), "tiny".

        A dict given for `speech_config` or `text_config` changes the named fields of the preset's encoder only.
        """
        if name not in PRESETS:
            raise ValueError(f"There is no preset {name!r}: choose one of {', '.join(PRESETS)}.")
        fields = dict(PRESETS[name])
        for key, value in overrides.items():
            partial = key in cls.sub_configs and isinstance(value, dict) and "model_type" not in value
            fields[key] = {**fields[key], **value} if partial else value
        return cls(**fields)

    @property
    def fuses(self):
        """Whether both modalities are there, so that there is something to fuse."""
        return len(self.modalities) == 2


def _custom_pipelines():
    return {name: dict(entry) for name, entry in CUSTOM_PIPELINES.items()}


def _as_config(value, defaults):
    if isinstance(value, PreTrainedConfig):
        return value
    fields = {**defaults, **(value or {})}
    return AutoConfig.for_model(fields.pop("model_type"), **fields)


def _token_ids(text_config, *names):
    return [getattr(text_config, name, None) for name in names]


def _subset(values, known, name):
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ValueError(f"{name} knows {', '.join(known)}; it cannot hold {', '.join(map(repr, unknown))}.")
    return [value for value in known if value in values]


M4SERConfig.register_for_auto_class()
