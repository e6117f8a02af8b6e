"""Whisper's texts and probabilities against greedy decoding by hand."""

import shutil

import numpy as np
import pytest
import torch
from transformers import BertConfig, GenerationConfig, WhisperForConditionalGeneration, WhisperProcessor

from m4ser.asr.whisper import Whisper
from m4ser.data.schema import DataError
from tests.asr.conftest import noise
from tests.tiny_whisper import make_multilingual

CLIPS = [noise(seed, seconds) for seed, seconds in enumerate((2.0, 0.5, 1.3, 0.01, 0.9))]


@pytest.fixture(scope="module")
def model(tiny_whisper):
    return WhisperForConditionalGeneration.from_pretrained(tiny_whisper).eval()


@torch.no_grad()
def by_hand(model, processor, samples, prompt, longest):
    """The likeliest token after the other: (token ids, log-probabilities, probability of no speech)."""
    features = processor(samples, sampling_rate=16000, return_tensors="pt").input_features
    settings, tokens, log_probabilities = model.generation_config, list(prompt), []
    while len(log_probabilities) < longest and tokens[-1] != settings.eos_token_id:
        logits = model(features, decoder_input_ids=torch.tensor([tokens])).logits[0].log_softmax(-1)
        log_probabilities.append(logits[-1].max().item())
        tokens.append(logits[-1].argmax().item())
    return tokens[len(prompt) :], log_probabilities, logits[0, settings.no_timestamps_token_id - 1].exp().item()


def longest_of(token_ids, prompt, settings):
    """The number of tokens: without an end, the most there may be, among which transformers 5.12 counts the prompt."""
    assert token_ids[-1] == settings.eos_token_id or len(token_ids) in (16, 16 - len(prompt))
    return len(token_ids)


@pytest.mark.parametrize("batch_size", [1, 5])
def test_text_and_probabilities_for_any_batch_size(whisper, tiny_whisper, model, batch_size):
    processor, settings = WhisperProcessor.from_pretrained(tiny_whisper), model.generation_config
    prompt = [settings.decoder_start_token_id, settings.no_timestamps_token_id]
    transcriptions = [
        transcription
        for start in range(0, len(CLIPS), batch_size)
        for transcription in whisper.transcribe_batch(CLIPS[start : start + batch_size])
    ]
    assert len({transcription["text"] for transcription in transcriptions}) > 3, (
        "recordings that are alike would hide a mix-up"
    )
    for samples, transcription in zip(CLIPS, transcriptions, strict=True):
        longest = longest_of(transcription["token_ids"], prompt, settings)
        tokens, log_probabilities, silence = by_hand(model, processor, samples, prompt, longest)
        assert transcription["token_ids"] == tokens
        assert transcription["text"] == processor.decode(tokens, skip_special_tokens=True).strip()
        assert transcription["token_log_probabilities"] == pytest.approx(log_probabilities, abs=2e-4)
        assert transcription["no_speech_probability"] == pytest.approx(silence, abs=2e-4)


def test_tokens_end_with_end_of_text(tiny_whisper, tmp_path):
    """Also where the others of the batch go on: what follows the end is padding."""
    shutil.copytree(tiny_whisper, tmp_path, dirs_exist_ok=True)
    whisper = Whisper(tmp_path)
    first, *others = (transcription["token_ids"] for transcription in whisper.transcribe_batch(CLIPS))
    # From now on the third token of the first recording is the end.
    end = next(token for token in first if not any(token in tokens[:3] for tokens in others))
    settings = GenerationConfig.from_pretrained(tmp_path)
    settings.eos_token_id = settings.pad_token_id = end
    settings.save_pretrained(tmp_path)
    stopped, *going_on = (transcription["token_ids"] for transcription in Whisper(tmp_path).transcribe_batch(CLIPS))
    assert stopped == first[: first.index(end) + 1]
    assert max(map(len, going_on)) > len(stopped)


@pytest.fixture(scope="module")
def multilingual(tiny_whisper, tmp_path_factory):
    """The same, with two of its tokens as languages and two as tasks."""
    folder = tmp_path_factory.mktemp("multilingual")
    shutil.copytree(tiny_whisper, folder, dirs_exist_ok=True)
    make_multilingual(folder)
    return folder


def test_multilingual_model_takes_language(multilingual, model):
    processor, settings = WhisperProcessor.from_pretrained(multilingual), model.generation_config
    spoken = {10: Whisper(multilingual, language="en"), 20: Whisper(multilingual, language="German")}
    transcriptions = {
        token: [transcription["token_ids"] for transcription in one.transcribe_batch(CLIPS)]
        for token, one in spoken.items()
    }
    for language, token_ids in transcriptions.items():
        prompt = [settings.decoder_start_token_id, language, 30, settings.no_timestamps_token_id]
        for found, samples in zip(token_ids, CLIPS, strict=True):
            assert found == by_hand(model, processor, samples, prompt, longest_of(found, prompt, settings))[0]
    assert transcriptions[10] != transcriptions[20]
    assert spoken[10].settings != spoken[20].settings


def test_multilingual_model_detects_language(multilingual):
    transcriptions, english, german = (
        Whisper(multilingual, language=code).transcribe_batch(CLIPS) for code in (None, "en", "de")
    )
    assert all(transcription in pair for transcription, *pair in zip(transcriptions, english, german, strict=True))


def test_unknown_languages_raise(tiny_whisper, multilingual):
    with pytest.raises(DataError, match="is an English-only model; leave --language out"):
        Whisper(tiny_whisper, language="en")
    with pytest.raises(DataError, match="does not know the language 'klingon'"):
        Whisper(multilingual, language="klingon")


def test_settings_depend_on_content(tiny_whisper, tmp_path):
    for copy in ("same", "other"):
        shutil.copytree(tiny_whisper, tmp_path / copy)
    model = WhisperForConditionalGeneration.from_pretrained(tmp_path / "other")
    torch.nn.init.zeros_(model.model.encoder.conv1.weight)
    model.save_pretrained(tmp_path / "other")
    settings = Whisper(tiny_whisper).settings
    assert Whisper(tmp_path / "same").settings == settings
    assert Whisper(tmp_path / "other").settings != settings


def test_missing_and_other_models_raise(tmp_path):
    with pytest.raises(DataError, match=r"No ASR model at .*nowhere"):
        Whisper(tmp_path / "nowhere")
    BertConfig().save_pretrained(tmp_path)
    with pytest.raises(DataError, match="is a bert model, not Whisper; run it yourself"):
        Whisper(tmp_path)


def test_missing_weights_are_named(tiny_whisper, tmp_path):
    shutil.copytree(tiny_whisper, tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.safetensors"))
    with pytest.raises(DataError, match=r"The weights of .* cannot be loaded"):
        Whisper(tmp_path).transcribe_batch([np.zeros(100, np.float32)])
