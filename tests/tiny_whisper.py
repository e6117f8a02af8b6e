"""A random Whisper small enough to transcribe in a test: two-second windows, a byte vocabulary."""

import torch
from transformers import (
    GenerationConfig,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperProcessor,
    WhisperTokenizer,
)
from transformers.convert_slow_tokenizer import bytes_to_unicode

WINDOW_SECONDS = 2


def save_tiny_whisper(folder, window_seconds=WINDOW_SECONDS):
    """Save model, feature extractor and tokenizer into `folder`, as they would come from the Hub."""
    torch.manual_seed(0)
    characters = list(bytes_to_unicode().values())
    special = ["<|endoftext|>", "<|startoftranscript|>", "<|notimestamps|>"]
    timestamps = [f"<|{0.02 * i:.2f}|>" for i in range(50 * window_seconds + 1)]
    tokens = characters + special + timestamps
    vocabulary = {token: index for index, token in enumerate(tokens)}
    tokenizer = WhisperTokenizer(vocab=vocabulary, merges=[], pad_token=special[0])
    tokenizer.add_special_tokens({"additional_special_tokens": special[1:]})
    tokenizer.add_tokens(timestamps)
    features = WhisperFeatureExtractor(feature_size=16, chunk_length=window_seconds)
    config = WhisperConfig(
        vocab_size=len(tokens),
        num_mel_bins=16,
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        max_source_positions=50 * window_seconds,
        max_target_positions=32,
        pad_token_id=vocabulary["<|endoftext|>"],
        bos_token_id=vocabulary["<|endoftext|>"],
        eos_token_id=vocabulary["<|endoftext|>"],
        decoder_start_token_id=vocabulary["<|startoftranscript|>"],
        init_std=1.0,  # so that the text depends on the audio
        suppress_tokens=None,
        begin_suppress_tokens=None,
    )
    model = WhisperForConditionalGeneration(config)
    model.generation_config = GenerationConfig(
        pad_token_id=config.pad_token_id,
        bos_token_id=config.bos_token_id,
        eos_token_id=config.eos_token_id,
        decoder_start_token_id=config.decoder_start_token_id,
        no_timestamps_token_id=vocabulary["<|notimestamps|>"],
        is_multilingual=False,
        return_timestamps=False,
        max_initial_timestamp_index=50,
        max_length=16,
    )
    model.save_pretrained(folder)
    WhisperProcessor(features, tokenizer).save_pretrained(folder)


def make_multilingual(folder):
    """Take two of a saved model's tokens as languages, and two as tasks."""
    settings = GenerationConfig.from_pretrained(folder)
    settings.is_multilingual = True
    settings.lang_to_id = {"<|en|>": 10, "<|de|>": 20}
    settings.task_to_id = {"transcribe": 30, "translate": 31}
    settings.save_pretrained(folder)
