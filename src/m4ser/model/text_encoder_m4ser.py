"""Hypothesis in, token states out: any encoder that takes a text as BERT does."""

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from transformers import MODEL_FOR_MASKED_LM_MAPPING, AutoModel, PreTrainedConfig

from .configuration_m4ser import EmotionConfig


class TextEncoder(nn.Module):
    """H_T of eq. 1: token ids (B, n) to (B, n, d).

    Raises:
        ValueError: an encoder that does not take a text as BERT does, or an input longer than it can take.
    """

    encoder: Any  # a PreTrainedModel like BERT

    def __init__(self, config: EmotionConfig):
        super().__init__()
        check_text_encoder(config.text_config)
        self.encoder = AutoModel.from_config(config.text_config, **without_pooler(config.text_config))
        self.max_length = max_length(self.encoder)
        text_size = config.text_config.hidden_size
        self.projection = (
            nn.Linear(text_size, config.hidden_size) if text_size != config.hidden_size else nn.Identity()
        )

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Return states (B, n, d) of token ids (B, n) with a mask (B, n).

        Raises:
            ValueError: more tokens than the encoder has positions for.
        """
        if self.max_length is not None and input_ids.shape[1] > self.max_length:
            raise ValueError(
                f"A hypothesis of {input_ids.shape[1]} tokens is longer than the {self.max_length} that "
                f"{self.encoder.config.model_type} takes: set the tokenizer's model_max_length to {self.max_length}."
            )
        hidden_states = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return self.projection(hidden_states)


def check_text_encoder(text_config: PreTrainedConfig) -> None:
    """Refuse what is not like BERT, before any of it is built.

    Raises:
        ValueError: it has a decoder, encodes in one direction, takes no text, or cannot tell tokens from padding.
    """
    if text_config.is_encoder_decoder or getattr(text_config, "is_decoder", False):
        reason = "it has a decoder"
    elif type(text_config) not in MODEL_FOR_MASKED_LM_MAPPING:
        reason = "it is no masked language model, which encodes each token in the context of all others"
    elif not {"input_ids", "attention_mask"} <= _parameters(_model_class(text_config).forward):
        reason = "it takes no input_ids with an attention_mask"
    else:
        return
    raise ValueError(
        f"{text_config.model_type} cannot be the text encoder: {reason}; choose BERT or one like it, such as RoBERTa, "
        "DeBERTa, DistilBERT, ModernBERT, ALBERT or ELECTRA."
    )


def max_length(text_encoder: Any) -> int | None:
    """Return the longest input in tokens; None where nothing limits it."""
    length = getattr(text_encoder.config, "max_position_embeddings", None)
    for name, module in text_encoder.named_modules():
        # RoBERTa and its kin keep the first rows of their position table for padding: 512 of 514 are left.
        if name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None:
            length = min(length, module.num_embeddings - module.padding_idx - 1)
    return length


def without_pooler(text_config: PreTrainedConfig) -> dict[str, bool]:
    """Return the argument that leaves out BERT's pooler, which nothing would train; others do not know it."""
    knows = "add_pooling_layer" in _parameters(_model_class(text_config))
    return {"add_pooling_layer": False} if knows else {}


def _model_class(text_config: PreTrainedConfig) -> Any:
    return AutoModel._model_mapping[type(text_config)]


def _parameters(function: Callable[..., Any]) -> set[str]:
    return set(inspect.signature(function).parameters)
