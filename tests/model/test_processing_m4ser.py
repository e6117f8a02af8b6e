"""Recordings and hypotheses, in the forms they come in, to the network's four inputs."""

import numpy as np
import pytest
import torch
from transformers import AutoProcessor

from m4ser import AudioError, M4SERProcessor
from tests.tiny_corpus import tiny_processor

LONG, SHORT = (np.random.default_rng(seed).standard_normal(n).astype(np.float32) for seed, n in ((0, 1600), (1, 500)))


@pytest.fixture(scope="module")
def processor():
    return tiny_processor(asr_model_id="org/recognizer")


def tokens(processor, inputs):
    """The words of each row, without padding."""
    return [
        processor.tokenizer.convert_ids_to_tokens(ids[mask.bool()])
        for ids, mask in zip(inputs["input_ids"], inputs["text_attention_mask"], strict=True)
    ]


def same(inputs, expected):
    assert inputs.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(inputs[name], value), name


def test_the_four_inputs(processor):
    inputs = processor([LONG, SHORT], ["the night", "bad"], sampling_rate=16_000)
    assert list(inputs) == processor.model_input_names
    assert inputs["input_values"].shape == inputs["attention_mask"].shape == (2, 1600)
    assert inputs["attention_mask"].sum(-1).tolist() == [1600, 500]
    assert tokens(processor, inputs) == [["[CLS]", "the", "night", "[SEP]"], ["[CLS]", "bad", "[SEP]"]]
    assert inputs["input_ids"].shape == inputs["text_attention_mask"].shape == (2, 4)
    # Each recording is normalized by itself.
    expected = (SHORT - SHORT.mean()) / SHORT.std()
    np.testing.assert_allclose(inputs["input_values"][1, :500].numpy(), expected, atol=1e-4)
    assert inputs["input_values"][1, 500:].eq(0).all()


@pytest.mark.parametrize(
    "text",
    [
        "the night",
        ["the night"],
        {"text": "the night"},
        [{"text": "the night", "chunks": [{"timestamp": (0.0, 1.0), "text": "the night"}]}],
    ],
    ids=["string", "list", "Whisper's", "list of Whisper's"],
)
@pytest.mark.parametrize(
    "audio",
    [
        LONG,
        [LONG],
        LONG.tolist(),
        {"array": LONG, "sampling_rate": 16_000},
        [{"raw": LONG, "sampling_rate": 16_000}],
        torch.tensor(LONG),
    ],
    ids=["array", "list of arrays", "numbers", "datasets' dict", "pipeline's dict", "tensor"],
)
def test_every_form_of_one_recording_gives_the_same(processor, audio, text):
    expected = processor([LONG], ["the night"], sampling_rate=16_000)
    same(processor(audio, text, sampling_rate=16_000), expected)


@pytest.mark.parametrize(
    ("text", "words"),
    [(None, [[], []]), ([None, "bad"], [[], ["bad"]]), (["", {"text": None}], [[], []])],
    ids=["no text", "one without", "empty"],
)
def test_a_missing_hypothesis_is_an_empty_one(processor, text, words):
    inputs = processor([LONG, SHORT], text, sampling_rate=16_000)
    assert tokens(processor, inputs) == [["[CLS]", *row, "[SEP]"] for row in words]


def test_text_alone(processor):
    inputs = processor(text=["the night", "bad"])
    assert list(inputs) == ["input_ids", "text_attention_mask"]
    assert tokens(processor, inputs)[1] == ["[CLS]", "bad", "[SEP]"]


def test_numpy_inputs(processor):
    inputs = processor(LONG, "bad", sampling_rate=16_000, return_tensors="np")
    assert all(isinstance(value, np.ndarray) for value in inputs.values())


def test_recordings_are_resampled(processor):
    inputs = processor({"array": np.zeros(4410, np.float32), "sampling_rate": 44_100}, "bad")
    assert inputs["input_values"].shape == (1, 1600)


def test_a_text_of_ten_thousand_words_is_cut(processor):
    inputs = processor(SHORT, "night " * 10_000, sampling_rate=16_000)
    assert inputs["input_ids"].shape == (1, processor.tokenizer.model_max_length)
    assert tokens(processor, inputs)[0][-1] == "[SEP]"


@pytest.mark.parametrize(
    ("audio", "text", "sentence"),
    [
        (None, None, "Nothing to process: give audio, text or both."),
        ([LONG, SHORT], ["bad"], "2 recordings came with 1 texts: give one text for each."),
        (LONG, ["bad", "night"], "1 recordings came with 2 texts: give one text for each."),
        ([LONG, SHORT], "bad", "2 recordings came with 1 texts: give one text for each."),
        (LONG, [5], 'A hypothesis is a string or a recognizer\'s {"text": ...}, not int.'),
    ],
    ids=["nothing", "a text too few", "a text too many", "one text for two", "a number"],
)
def test_invalid_arguments_are_refused(processor, audio, text, sentence):
    with pytest.raises(ValueError) as error:
        processor(audio, text, sampling_rate=16_000)
    assert str(error.value) == sentence


def test_a_recording_without_its_rate_is_refused(processor):
    with pytest.raises(AudioError, match="sampling rate"):
        processor(LONG, "bad")


def test_round_trip(processor, tmp_path):
    processor.save_pretrained(tmp_path)
    loaded = AutoProcessor.from_pretrained(tmp_path)
    assert isinstance(loaded, M4SERProcessor)
    assert loaded.asr_model_id == "org/recognizer"
    same(
        loaded([LONG, SHORT], ["the night", "bad"], sampling_rate=16_000),
        processor([LONG, SHORT], ["the night", "bad"], sampling_rate=16_000),
    )
