"""transformers' common tests of a model, on M4SERModel."""

import tempfile
import unittest

import pytest
import torch
import transformers
from packaging.version import Version
from parameterized import parameterized
from transformers_tests.test_modeling_common import (
    TEST_EAGER_MATCHES_SDPA_INFERENCE_PARAMETERIZATION,
    ModelTesterMixin,
    _test_eager_matches_sdpa_inference,
)

from m4ser import M4SERModel
from tests.native.model_tester import TEXT_INPUTS, M4SERModelTester

pytestmark = pytest.mark.native


class M4SERTesterMixin(ModelTesterMixin):
    """The common tests; those of hidden states and attention maps once for each part of the network."""

    all_model_classes = (M4SERModel,)
    _is_composite = True
    test_can_init_all_missing_weights_before_2023 = True  # for the common tests guess a file's age by its header
    # The part whose hidden states are compared between implementations of attention: the last one.
    last_part = "invariant"

    def _prepare_for_class(self, inputs_dict: dict, model_class: type, return_labels: bool = False) -> dict:
        inputs = super()._prepare_for_class(inputs_dict, model_class, return_labels)
        if return_labels:
            inputs["labels"] = torch.zeros(self.model_tester.batch_size, dtype=torch.long)
        return inputs

    def test_attention_outputs(self) -> None:
        for part in self.model_tester.parts():
            with self.subTest(part), self.model_tester.viewing(part):
                super().test_attention_outputs()

    def test_hidden_states_output(self) -> None:
        for part in self.model_tester.encoders():
            with self.subTest(part), self.model_tester.viewing(part):
                super().test_hidden_states_output()

    def test_retain_grad_hidden_states_attentions(self) -> None:
        for part in self.model_tester.encoders():
            with self.subTest(part), self.model_tester.viewing(part):
                super().test_retain_grad_hidden_states_attentions()

    @unittest.skipIf(
        Version(transformers.__version__) < Version("5.23"), "selected layers were counted in another way before"
    )
    def test_can_capture_specific_layers_hidden_states(self) -> None:
        for part in self.model_tester.encoders():
            with self.subTest(part), self.model_tester.viewing(part):
                super().test_can_capture_specific_layers_hidden_states()

    def test_sdpa_can_dispatch_composite_models(self) -> None:
        """As the common test requires of models with other parts than a vision tower and a language model."""
        with tempfile.TemporaryDirectory() as folder:
            M4SERModel(self.model_tester.get_config()).save_pretrained(folder)
            for implementation in ("sdpa", "eager"):
                model = M4SERModel.from_pretrained(folder, attn_implementation=implementation)
                attention = [module for module in model.modules() if type(module).__name__.endswith("Attention")]
                found = {module.config._attn_implementation for module in attention if hasattr(module, "config")}
                assert found == {implementation}

    @parameterized.expand(TEST_EAGER_MATCHES_SDPA_INFERENCE_PARAMETERIZATION)
    def test_eager_matches_sdpa_inference(self, *arguments: object) -> None:
        with self.model_tester.viewing(self.last_part):
            _test_eager_matches_sdpa_inference(self, *arguments)


class M4SERModelTest(M4SERTesterMixin, unittest.TestCase):
    """Speech and text, with all auxiliary tasks."""

    additional_model_inputs = ("attention_mask", *TEXT_INPUTS)
    test_all_params_have_gradient = False  # the emotion loss, the forward's own, trains no auxiliary task

    def setUp(self) -> None:
        self.model_tester = M4SERModelTester(self)


class M4SERWithoutTasksTest(M4SERTesterMixin, unittest.TestCase):
    """Speech and text, without auxiliary tasks, the speech encoder with layer norm as HuBERT large has it."""

    additional_model_inputs = ("attention_mask", *TEXT_INPUTS)

    def setUp(self) -> None:
        self.model_tester = M4SERModelTester(self, norm="layer", auxiliary_tasks=())


class M4SERSpeechTest(M4SERTesterMixin, unittest.TestCase):
    """Speech alone, with recognition."""

    additional_model_inputs = ("attention_mask",)
    test_all_params_have_gradient = False  # as above
    last_part = "speech_encoder"
    test_resize_embeddings = False  # there are no tokens

    def setUp(self) -> None:
        self.model_tester = M4SERModelTester(self, modalities=("speech",))

    @unittest.skip(reason="without tokens there are no input embeddings")
    def test_model_get_set_embeddings(self) -> None:
        pass


class M4SERTextTest(M4SERTesterMixin, unittest.TestCase):
    """Text alone."""

    additional_model_inputs = ("text_attention_mask",)
    last_part = "text_encoder"

    def setUp(self) -> None:
        self.model_tester = M4SERModelTester(self, modalities=("text",), auxiliary_tasks=())
