"""Whisper models of the published sizes with random weights, which generate as many tokens as real speech has.

Nothing is downloaded: the architectures and the special tokens are those of openai/whisper-*.en.
"""

import torch
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperProcessor,
    WhisperTokenizer,
)
from transformers.convert_slow_tokenizer import bytes_to_unicode

from benchmarks.timing import SEED

SIZES = {"tiny.en": (384, 4, 6), "base.en": (512, 6, 8), "small.en": (768, 12, 12), "medium.en": (1024, 24, 16)}
WORDS, LANGUAGES, TIMES = 50256, 99, 1501
END, START, NO_TIMESTAMPS = 50256, 50257, 50362
TOKENS_PER_SECOND = 3  # of English speech: two and a half words
FRAMES_PER_SECOND = 100


def save_whisper(folder, size):
    """Save a Whisper of one of the `SIZES` with its tokenizer and feature extractor, as on the Hub."""
    torch.manual_seed(SEED)
    width, layers, heads = SIZES[size]
    config = WhisperConfig(
        vocab_size=NO_TIMESTAMPS + 1 + TIMES,
        d_model=width,
        encoder_layers=layers,
        decoder_layers=layers,
        encoder_attention_heads=heads,
        decoder_attention_heads=heads,
        encoder_ffn_dim=4 * width,
        decoder_ffn_dim=4 * width,
        pad_token_id=END,
        bos_token_id=END,
        eos_token_id=END,
        decoder_start_token_id=START,
        suppress_tokens=None,
        begin_suppress_tokens=None,
    )
    model = WhisperForConditionalGeneration(config)
    model.generation_config = GenerationConfig(
        pad_token_id=END,
        bos_token_id=END,
        eos_token_id=END,
        decoder_start_token_id=START,
        no_timestamps_token_id=NO_TIMESTAMPS,
        is_multilingual=False,
        return_timestamps=False,
        max_initial_timestamp_index=50,
        max_length=448,
        suppress_tokens=list(range(90)),  # as many as the published models suppress
        begin_suppress_tokens=[220, END],
    )
    model.save_pretrained(folder)
    WhisperProcessor(WhisperFeatureExtractor(), tokenizer()).save_pretrained(folder)


def tokenizer():
    """Return a tokenizer of the published size: bytes, pairs of bytes, and special tokens at their published ids."""
    characters = list(bytes_to_unicode().values())
    words = [*characters, *(first + second for first in characters for second in characters)][:WORDS]
    made = WhisperTokenizer(
        vocab={word: index for index, word in enumerate([*words, "<|endoftext|>"])},
        merges=[],
        pad_token="<|endoftext|>",
    )
    languages = [f"<|language {index}|>" for index in range(LANGUAGES)]
    tasks = ["<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>"]
    made.add_special_tokens({"additional_special_tokens": ["<|startoftranscript|>", *languages, *tasks]})
    made.add_tokens([f"<|{0.02 * index:.2f}|>" for index in range(TIMES)])
    return made


class EndAfterSpeech(LogitsProcessor):
    """Ends each text after `TOKENS_PER_SECOND` times its recording's length; random weights would never end it.

    A batch is decoded until its longest recording has ended, as with trained weights. A recording's length is taken
    from the encoder's input: after its end all frames are equal.
    """

    def __init__(self, model):
        model.get_encoder().register_forward_pre_hook(self._measure_lengths, with_kwargs=True)

    def _measure_lengths(self, encoder, inputs, options):
        features = inputs[0] if inputs else options["input_features"]
        not_padding = (features != features[..., -1:]).any(1)  # (B, frames)
        frames = torch.arange(1, not_padding.shape[1] + 1, device=not_padding.device)
        seconds = (not_padding * frames).amax(1) / FRAMES_PER_SECOND
        self._lengths = (seconds * TOKENS_PER_SECOND).round().clamp(min=1)
        self._generated = 0

    def __call__(self, input_ids, scores):
        ended = (self._lengths <= self._generated)[:, None]
        self._generated += 1
        scores[:, END + 1 :] = -torch.inf  # no timestamps, which would start another window
        end = torch.where(ended[:, 0], 0.0, -torch.inf)
        scores = scores.masked_fill(ended, -torch.inf)
        scores[:, END] = end
        return scores


def limit_to_speech_length(model):
    """Make `model.generate` end each text as real speech of that length would end."""
    generate, ending = model.generate, LogitsProcessorList([EndAfterSpeech(model)])
    model.generate = lambda *inputs, **options: generate(*inputs, logits_processor=ending, **options)
