"""transformers' common tests of a processor, on M4SERProcessor."""

import unittest

import pytest
import torch
from transformers import PreTrainedTokenizerBase, Wav2Vec2FeatureExtractor
from transformers_tests.test_processing_common import ProcessorTesterMixin

from m4ser import M4SERProcessor
from m4ser.data.tokenizer import train_tokenizer

pytestmark = pytest.mark.native

SENTENCES = ("lower newer", "upper older longer string")


class M4SERProcessorTest(ProcessorTesterMixin, unittest.TestCase):
    processor_class = M4SERProcessor

    @classmethod
    def _setup_feature_extractor(cls) -> Wav2Vec2FeatureExtractor:
        return Wav2Vec2FeatureExtractor(return_attention_mask=True)

    @classmethod
    def _setup_tokenizer(cls) -> PreTrainedTokenizerBase:
        return train_tokenizer(SENTENCES, vocab_size=64, max_length=512)

    @staticmethod
    def prepare_processor_dict() -> dict:
        return {"asr_model_id": "org/asr-model"}

    def test_subprocessor_defaults_0_text(self) -> None:
        """The common test, but for the name of the mask: `attention_mask` is that of the audio."""
        text, processor = self.prepare_text_inputs(), self.get_processor()
        inputs, expected = processor(text=text), processor.tokenizer(text, return_tensors="pt")
        torch.testing.assert_close(inputs["input_ids"], expected["input_ids"])
        torch.testing.assert_close(inputs["text_attention_mask"], expected["attention_mask"])
