"""Where a training starts from another's result: a run's folder or a model on the Hub (`--init_from`)."""

from collections.abc import Sequence
from typing import Any

import torch
from accelerate import PartialState
from torch import nn
from transformers import PreTrainedConfig

from m4ser.model.base_m4ser import EmotionModel, ModelError
from m4ser.model.configuration_m4ser import refuse_unknown_fields
from m4ser.model.processing_m4ser import M4SERProcessor
from m4ser.systems import SYSTEMS
from m4ser.training.arguments import Arguments


def initial_processor(arguments: Arguments) -> M4SERProcessor:
    """Load the source's processor, its tokenizer and normalization included."""
    source = str(arguments.model.init_from)
    try:
        processor = M4SERProcessor.from_pretrained(source)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"--init_from {source} is neither a run's folder nor a model's Hub id: {_one_line(error)}."
        ) from error
    return processor


def initial_model(arguments: Arguments, labels: Sequence[str]) -> EmotionModel:
    """Load the source's weights and config, the fields of `--config` changed; with a new head for other labels.

    Raises:
        ValueError: there is no such model, it is another system's, or the changed config does not fit its weights.
    """
    source, system = str(arguments.model.init_from), SYSTEMS[arguments.model.system]
    try:
        found = PreTrainedConfig.get_config_dict(source)[0].get("model_type")
    except (OSError, ValueError, AttributeError, TypeError) as error:  # the latter: the file is no JSON object
        raise ValueError(
            f"--init_from {source} is neither a run's folder nor a model's Hub id: {_one_line(error)}."
        ) from error
    if found != system.config_class.model_type:
        raise ValueError(f"--init_from {source} is a model of the system {found}, not {arguments.model.system}.")
    config = system.config_class.from_pretrained(source)
    config.calibration_temperature, config.calibrated_weights = 1.0, None  # training changes the weights
    refuse_unknown_fields(config, arguments.model.fields)
    for name, value in arguments.model.fields.items():
        nested = getattr(config, name, None)
        if isinstance(nested, PreTrainedConfig):
            nested.update(value)
        else:
            setattr(config, name, value)
    try:
        model: Any = system.from_pretrained(source, config=config, dtype=torch.get_default_dtype())
    except ModelError as error:
        if not arguments.model.fields:
            raise
        raise ValueError(
            f"--config does not fit the weights of {source}, leave out what changes the network: {error}"
        ) from error
    former = [str(label) for _, label in sorted(model.config.id2label.items())]
    if former != list(labels):
        _replace_head(model, labels)
        if PartialState().is_main_process:
            print(
                f"{source} predicts {', '.join(former)}, the dataset has {', '.join(labels)}: the emotion head is "
                "new, all other weights are the model's."
            )
    return model


def _replace_head(model: EmotionModel, labels: Sequence[str]) -> None:
    model.config.id2label = dict(enumerate(labels))
    model.config.label2id = {label: index for index, label in enumerate(labels)}
    model.classifier = nn.Linear(model.classifier.in_features, len(labels))
    model._init_weights(model.classifier)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")
