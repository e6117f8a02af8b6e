"""Tokenizers: a small one trained on a corpus, and one normalisation for every text that a tokenizer sees.

The hypothesis and the transcript must be normalised alike before they are aligned, and so must the text at
inference. So the normalisation is a part of the tokenizer and is saved with it.
"""

from collections.abc import Iterable

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

SPECIAL_TOKENS = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}
NORMALIZATIONS = ("none", "basic")


def basic_normalizer() -> normalizers.Normalizer:
    """Lower-case, delete apostrophes, turn every other character outside a-z and 0-9 into a space."""
    return normalizers.Sequence(
        [
            normalizers.Lowercase(),
            normalizers.Replace(Regex("['\u2019]"), ""),
            normalizers.Replace(Regex("[^a-z0-9]"), " "),
        ]
    )


def with_normalization(tokenizer: PreTrainedTokenizerBase, name: str) -> PreTrainedTokenizerBase:
    """Return `tokenizer` with a corpus's normalisation: "none" (as it is) or "basic" (`basic_normalizer`).

    The result of "basic" is a generic fast tokenizer: a model's own class, such as BertTokenizer, would put
    its own normaliser back when it is loaded.

    Raises:
        ValueError: another name, or a tokenizer without a `tokenizers` backend.
    """
    if name not in NORMALIZATIONS:
        raise ValueError(f"Unknown normalization {name!r}; choose from {', '.join(NORMALIZATIONS)}.")
    if name == "none":
        return tokenizer
    if not tokenizer.is_fast:
        raise ValueError(f"{type(tokenizer).__name__} is not a fast tokenizer, which normalization needs.")
    backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    backend.no_truncation()
    backend.no_padding()
    backend.normalizer = basic_normalizer()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        model_max_length=tokenizer.model_max_length,
        model_input_names=tokenizer.model_input_names,
        padding_side=tokenizer.padding_side,
        truncation_side=tokenizer.truncation_side,
        **tokenizer.special_tokens_map,
    )


def train_tokenizer(
    texts: Iterable[str], vocab_size: int, normalization: str = "basic", max_length: int = 512
) -> PreTrainedTokenizerFast:
    """Train a WordPiece tokenizer; the same texts give the same tokenizer.

    Args:
        vocab_size: at most so many entries, the five special tokens ([PAD] is 0) included.
        max_length: the longest input, [CLS] and [SEP] included.
    """
    if normalization not in NORMALIZATIONS:
        raise ValueError(f"Unknown normalization {normalization!r}; choose from {', '.join(NORMALIZATIONS)}.")
    backend = Tokenizer(models.WordPiece(unk_token=SPECIAL_TOKENS["unk_token"]))
    if normalization == "basic":
        backend.normalizer = basic_normalizer()
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocab_size, special_tokens=list(SPECIAL_TOKENS.values()), show_progress=False
    )
    backend.train_from_iterator(texts, trainer)
    ends = [(token, backend.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    backend.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    return PreTrainedTokenizerFast(tokenizer_object=backend, model_max_length=max_length, **SPECIAL_TOKENS)
