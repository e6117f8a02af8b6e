"""Recordings and hypotheses, in the forms they come in, to the network's four inputs."""

import numpy as np
import pytest
import soundfile
import torch
from transformers import AutoProcessor
from transformers.utils import logging

from m4ser import AudioError, M4SERProcessor
from tests.tiny_corpus import tiny_processor

LONG, SHORT = (np.random.default_rng(seed).standard_normal(n).astype(np.float32) for seed, n in ((0, 1600), (1, 500)))


@pytest.fixture(scope="module")
def processor():
    return tiny_processor(asr_model_id="org/asr-model")


def words_of(processor, inputs):
    """The words of each row, without padding."""
    return [
        processor.tokenizer.convert_ids_to_tokens(ids[mask.bool()])
        for ids, mask in zip(inputs["input_ids"], inputs["text_attention_mask"], strict=True)
    ]


def same(inputs, expected):
    assert inputs.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(inputs[name], value), name


def test_four_inputs(processor):
    inputs = processor([LONG, SHORT], ["the night", "bad"], sampling_rate=16_000)
    assert list(inputs) == processor.model_input_names
    assert inputs["input_values"].shape == inputs["attention_mask"].shape == (2, 1600)
    assert inputs["attention_mask"].sum(-1).tolist() == [1600, 500]
    assert words_of(processor, inputs) == [["[CLS]", "the", "night", "[SEP]"], ["[CLS]", "bad", "[SEP]"]]
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
def test_all_input_forms_agree(processor, audio, text):
    expected = processor([LONG], ["the night"], sampling_rate=16_000)
    same(processor(audio, text, sampling_rate=16_000), expected)


@pytest.mark.parametrize(
    ("text", "words"),
    [(None, [[], []]), ([None, "bad"], [[], ["bad"]]), (["", {"text": None}], [[], []])],
    ids=["no text", "one without", "empty"],
)
def test_missing_hypothesis_is_empty(processor, text, words):
    inputs = processor([LONG, SHORT], text, sampling_rate=16_000)
    assert words_of(processor, inputs) == [["[CLS]", *row, "[SEP]"] for row in words]


def test_text_alone(processor):
    inputs = processor(text=["the night", "bad"])
    assert list(inputs) == ["input_ids", "text_attention_mask"]
    assert words_of(processor, inputs)[1] == ["[CLS]", "bad", "[SEP]"]


def test_numpy_inputs(processor):
    inputs = processor(LONG, "bad", sampling_rate=16_000, return_tensors="np")
    assert all(isinstance(value, np.ndarray) for value in inputs.values())


def test_resamples(processor):
    inputs = processor({"array": np.zeros(4410, np.float32), "sampling_rate": 44_100}, "bad")
    assert inputs["input_values"].shape == (1, 1600)


def test_truncates_long_text(processor):
    inputs = processor(SHORT, "night " * 10_000, sampling_rate=16_000)
    assert inputs["input_ids"].shape == (1, processor.tokenizer.model_max_length)
    assert words_of(processor, inputs)[0][-1] == "[SEP]"


@pytest.mark.parametrize(
    ("audio", "text", "sentence"),
    [
        (None, None, "Nothing to process: give audio, text or both."),
        ([LONG, SHORT], ["bad"], "2 recordings came with 1 texts: give one text for each."),
        (LONG, ["bad", "night"], "1 recordings came with 2 texts: give one text for each."),
        ([LONG, SHORT], "bad", "2 recordings came with 1 texts: give one text for each."),
        (LONG, [5], 'A hypothesis is a string or an ASR model\'s {"text": ...}, not int.'),
    ],
    ids=["nothing", "too few texts", "too many texts", "one text for two", "number"],
)
def test_invalid_arguments_are_refused(processor, audio, text, sentence):
    with pytest.raises(ValueError) as error:
        processor(audio, text, sampling_rate=16_000)
    assert str(error.value) == sentence


@pytest.fixture
def warnings(caplog):
    """The messages that the processor logs; each is logged once in a process, until this forgets it."""
    logging.warning_once.cache_clear()
    return lambda: [record.message for record in caplog.records if record.name.endswith("processing_m4ser")]


@pytest.mark.parametrize(
    "audio", [LONG, [LONG], LONG.tolist(), torch.tensor(LONG), {"array": LONG}], ids=lambda audio: type(audio).__name__
)
def test_samples_without_rate_warn(processor, warnings, audio):
    same(processor(audio, "bad"), processor(LONG, "bad", sampling_rate=16_000))
    (message,) = warnings()
    assert "16000 Hz" in message and "sampling_rate" in message


def test_audio_with_rate_does_not_warn(processor, warnings, tmp_path):
    path = tmp_path / "long.wav"
    soundfile.write(path, np.zeros(4410), 44_100)
    for audio in (path, path.read_bytes(), {"path": str(path), "bytes": None}, {"raw": LONG, "sampling_rate": 8000}):
        processor(audio, "bad")
    processor(LONG, "bad", audio_kwargs={"sampling_rate": 16_000})
    assert warnings() == []


def test_bad_sampling_rate_is_refused(processor):
    with pytest.raises(AudioError, match="0 is not a sampling rate"):
        processor(LONG, "bad", sampling_rate=0)


def test_flat_lengths_are_of_the_text(processor):
    text = ["the night", "bad"]
    inputs = processor([LONG, SHORT], text, sampling_rate=16_000, max_length=3, padding="max_length", truncation=True)
    assert words_of(processor, inputs) == [["[CLS]", "the", "[SEP]"], ["[CLS]", "bad", "[SEP]"]]
    whole = processor([LONG, SHORT], text, sampling_rate=16_000)
    assert torch.equal(inputs["input_values"], whole["input_values"])
    assert torch.equal(inputs["attention_mask"], whole["attention_mask"])


def test_kwargs_by_modality(processor):
    inputs = processor(
        [LONG, SHORT],
        ["the night", "bad"],
        audio_kwargs={"max_length": 800, "truncation": True, "padding": "max_length", "sampling_rate": 16_000},
        text_kwargs={"max_length": 7, "padding": "max_length"},
        common_kwargs={"return_tensors": "np"},
    )
    assert inputs["input_values"].shape == (2, 800)
    assert inputs["input_ids"].shape == (2, 7)
    assert all(isinstance(value, np.ndarray) for value in inputs.values())


def test_kwargs_given_twice_are_refused(processor):
    with pytest.raises(ValueError, match="padding was passed two times"):
        processor(LONG, "bad", sampling_rate=16_000, padding=True, text_kwargs={"padding": "max_length"})


def test_without_tensors(processor):
    inputs = processor([LONG, SHORT], ["the night", "bad"], sampling_rate=16_000, padding=False, return_tensors=None)
    assert [len(row) for row in inputs["input_values"]] == [1600, 500]
    assert [len(row) for row in inputs["input_ids"]] == [4, 3]


def test_round_trip(processor, tmp_path):
    processor.save_pretrained(tmp_path)
    loaded = AutoProcessor.from_pretrained(tmp_path)
    assert isinstance(loaded, M4SERProcessor)
    assert loaded.asr_model_id == "org/asr-model"
    same(
        loaded([LONG, SHORT], ["the night", "bad"], sampling_rate=16_000),
        processor([LONG, SHORT], ["the night", "bad"], sampling_rate=16_000),
    )


def test_word_confidences_become_those_of_tokens(processor):
    texts, confidences = ["the night", "", "bad"], [[0.5, 0.25], [], None]
    inputs = processor([LONG, SHORT, SHORT], texts, confidences, sampling_rate=16_000)
    assert inputs["token_confidences"].tolist() == [[1, 0.5, 0.25, 1], [1, 1, 1, 1], [1, 1, 1, 1]]
    assert inputs["token_confidences"].dtype == torch.float32
    arrays = processor(None, texts, confidences, return_tensors="np")["token_confidences"]
    assert isinstance(arrays, np.ndarray) and arrays.tolist() == inputs["token_confidences"].tolist()


def test_word_confidences_of_truncated_and_padded_texts(processor):
    options = {"max_length": 4, "padding": "max_length"}
    inputs = processor(None, ["the night was great", "bad"], [[0.5, 0.25, 0.1, 0.1], [0.5]], **options)
    assert inputs["token_confidences"].tolist() == [[1, 0.5, 0.25, 1], [1, 0.5, 1, 1]]


def test_word_confidences_that_do_not_pair_up_are_refused(processor):
    with pytest.raises(ValueError, match="2 texts came with 1 word_confidences"):
        processor(None, ["the night", "bad"], [[0.5, 0.5]])
    with pytest.raises(ValueError, match="there are 1 word_confidences for 2 words"):
        processor(None, "the night", [[0.5]])
