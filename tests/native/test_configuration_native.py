"""transformers' common tests of a configuration, on M4SERConfig."""

import unittest

import pytest
from transformers_tests.test_configuration_common import ConfigTester

from m4ser import M4SERConfig
from tests.native.model_tester import M4SERModelTester

pytestmark = pytest.mark.native


class M4SERConfigTest(unittest.TestCase):
    """`model_tester` gives the common tests a config whose fields are not the defaults."""

    def setUp(self) -> None:
        self.model_tester = M4SERModelTester(self)
        self.config_tester = ConfigTester(
            self,
            config_class=M4SERConfig,
            has_text_modality=False,  # the vocabulary is `text_config`'s
            common_properties=["hidden_size", "num_attention_heads", "speech_config", "text_config"],
            hidden_size=36,
        )

    def test_config(self) -> None:
        self.config_tester.run_common_tests()
