"""Tiny configs and batches in the form that transformers' common tests take them."""

import unittest

import torch

from m4ser import M4SERConfig
from m4ser.model.configuration_m4ser import MODALITIES
from tests.tiny import collate, plain_inputs, recordings, tiny_config

SPEECH_INPUTS = ("input_values", "attention_mask")
TEXT_INPUTS = ("input_ids", "text_attention_mask")


class M4SERModelTester:
    """A batch of recordings of different lengths and the config of a network that takes it."""

    is_training = True
    batch_size = 3
    samples = (4000, 3000, 2000)
    tokens = (7, 6, 5)

    def __init__(
        self, parent: unittest.TestCase, modalities: tuple[str, ...] = MODALITIES, norm: str = "group"
    ) -> None:
        self.parent = parent
        self.modalities = modalities
        self.norm = norm

    def get_config(self) -> M4SERConfig:
        return tiny_config(self.norm, modalities=self.modalities)

    def prepare_config_and_inputs_for_common(self) -> tuple[M4SERConfig, dict[str, torch.Tensor]]:
        batch = plain_inputs(collate(recordings(self.samples, self.tokens)))
        names = SPEECH_INPUTS * ("speech" in self.modalities) + TEXT_INPUTS * ("text" in self.modalities)
        return self.get_config(), {name: batch[name] for name in names}
