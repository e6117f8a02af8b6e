"""transformers' common tests of a model, on M4SERModel."""

import unittest

import pytest
import torch
from transformers_tests.test_modeling_common import ModelTesterMixin

from m4ser import M4SERModel
from tests.native.model_tester import TEXT_INPUTS, M4SERModelTester

pytestmark = pytest.mark.native


class M4SERModelTest(ModelTesterMixin, unittest.TestCase):
    """Speech and text."""

    all_model_classes = (M4SERModel,)
    _is_composite = True
    additional_model_inputs = ("attention_mask", *TEXT_INPUTS)

    def setUp(self) -> None:
        self.model_tester = M4SERModelTester(self)

    def _prepare_for_class(self, inputs_dict: dict, model_class: type, return_labels: bool = False) -> dict:
        inputs = super()._prepare_for_class(inputs_dict, model_class, return_labels)
        if return_labels:
            inputs["labels"] = torch.zeros(self.model_tester.batch_size, dtype=torch.long)
        return inputs
