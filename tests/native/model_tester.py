"""Tiny configs and batches in the form that transformers' common tests take them."""

import unittest
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from functools import wraps
from typing import Any
from unittest.mock import patch

import torch

from m4ser import M4SERConfig, M4SERModel
from m4ser.model.configuration_m4ser import AUXILIARY_TASKS, MODALITIES
from m4ser.model.modeling_m4ser import M4SEROutput
from tests.tiny import collate, plain_inputs, recordings, tiny_config

SPEECH_INPUTS = ("input_values", "attention_mask")
TEXT_INPUTS = ("input_ids", "text_attention_mask")
SAMPLES, TOKENS = (4000, 3000, 2000), (7, 6, 5)
FRAMES = 12  # of 4000 samples: 400, then one more every 320


class M4SERModelTester:
    """A batch of recordings of different lengths, and the config of a network that takes it."""

    is_training = True
    batch_size = len(SAMPLES)

    def __init__(
        self,
        parent: unittest.TestCase | None = None,
        modalities: tuple[str, ...] = MODALITIES,
        norm: str = "group",
        auxiliary_tasks: tuple[str, ...] = AUXILIARY_TASKS,
    ) -> None:
        self.parent = parent
        self.modalities = modalities
        self.norm = norm
        self.auxiliary_tasks = auxiliary_tasks

    def get_config(self) -> M4SERConfig:
        return tiny_config(self.norm, modalities=self.modalities, auxiliary_tasks=self.auxiliary_tasks)

    def prepare_config_and_inputs_for_common(self) -> tuple[M4SERConfig, dict[str, torch.Tensor]]:
        batch = plain_inputs(collate(recordings(SAMPLES, TOKENS)))
        names = SPEECH_INPUTS * ("speech" in self.modalities) + TEXT_INPUTS * ("text" in self.modalities)
        return self.get_config(), {name: batch[name] for name in names}

    def encoders(self) -> tuple[str, ...]:
        """Return the parts that have hidden states."""
        return tuple(f"{modality}_encoder" for modality in self.modalities)

    def parts(self) -> tuple[str, ...]:
        """Return the parts that have attention maps."""
        fusion = ("text_query_cme", "speech_query_cme", "text_specific", "invariant_speech", "invariant_text")
        return self.encoders() + fusion * (len(self.modalities) == 2)

    @contextmanager
    def viewing(self, part: str) -> Iterator[None]:
        """Let the common tests, which know tuples only, see one part's hidden states and attention maps.

        A stream of the fusion, which has no layers, is shown as the only hidden states there are.
        """
        self._expect(part)
        whole_forward = M4SERModel.forward

        @wraps(whole_forward)
        def forward(model: M4SERModel, *args: Any, **kwargs: Any) -> M4SEROutput:
            output = whole_forward(model, *args, **kwargs)
            values = {field.name: getattr(output, field.name) for field in fields(output)}
            for name in ("hidden_states", "attentions"):
                if values[name] is not None:
                    values[name] = values[name].get(part, values[name])
            if part in ("speech_specific", "text_specific", "invariant") and values["hidden_states"] is not None:
                values["hidden_states"] = (values[part],)
            return M4SEROutput(**values)

        with patch.object(M4SERModel, "forward", forward):
            yield

    def _expect(self, part: str) -> None:
        """Set what the common tests expect of a part."""
        config = self.get_config()
        encoder = {"speech_encoder": config.speech_config, "text_encoder": config.text_config}.get(part, config)
        self.num_hidden_layers = getattr(encoder, "num_hidden_layers", 1)
        self.num_attention_heads = encoder.num_attention_heads
        self.hidden_size = encoder.hidden_size
        queries_are_tokens = part in ("text_encoder", "text_query_cme")
        keys_are_tokens = part in ("text_encoder", "speech_query_cme", "text_specific")
        self.seq_length = self.encoder_seq_length = max(TOKENS) if queries_are_tokens else FRAMES
        self.key_length = max(TOKENS) if keys_are_tokens else FRAMES
