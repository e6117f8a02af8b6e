"""Tokenizers: a small one trained on a corpus, and one normalization for every text that a tokenizer sees.

"none" leaves the text to the tokenizer; words are compared by their comparison form all the same
(`m4ser.data.comparison`). "basic" leaves a-z and 0-9 alone, for small tokenizers of English. The text at inference
must be normalized as in training, so the normalization is a part of the tokenizer and is saved with it.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from m4ser.data.schema import DataError

SPECIAL_TOKENS = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}
NORMALIZATIONS = ("none", "basic")
LETTERS_LOST = 0.02  # of a corpus, at most
LONGEST_WORD = 10_000  # characters
PRIVATE_USE = 0xF0000  # 65,534 code points that Unicode leaves to anyone


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
    """Return `tokenizer` with a corpus's normalization: "none" (as it is) or "basic" (`basic_normalizer`).

    The result of "basic" is a generic fast tokenizer: a model's own class, such as BertTokenizer, would put
    its own normalizer back when it is loaded.

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


def with_prefix_space(tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """Return `tokenizer`; one of byte-level BPE, such as RoBERTa's, from now on puts a space before the first word.

    Without it the first word is another token than the same word later on, and what a correction puts before it would
    become one word with it.
    """
    pre_tokenizer = tokenizer.backend_tokenizer.pre_tokenizer if tokenizer.is_fast else None
    if isinstance(pre_tokenizer, pre_tokenizers.ByteLevel):
        pre_tokenizer.add_prefix_space = True
        tokenizer.init_kwargs["add_prefix_space"] = True  # RoBERTa's own class is built anew from it
    return tokenizer


def check_letters(texts: Iterable[str], tokenizer: PreTrainedTokenizerBase, remedy: str) -> list[str]:
    """Count the letters of `texts` that a tokenizer's normalization deletes and that its vocabulary lacks.

    Args:
        remedy: ends the sentence of the error: what to do about it.

    Returns:
        A sentence for each of the two that occurs, with an example; no vocabulary lacks letters below 2 %.

    Raises:
        DataError: the normalization deletes more than 2 % of the letters.
    """
    letters, lost = 0, {"deletes": 0, "does not know": 0}
    examples: dict[str, str] = {}
    counts = Counter(texts) or Counter([""])
    encoding = tokenizer([*counts], add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    for (text, count), ids, spans in zip(counts.items(), encoding.input_ids, encoding.offset_mapping, strict=True):
        kept: set[int] = set()
        unknown: set[int] = set()
        for id, (start, end) in zip(ids, spans, strict=True):
            (unknown if id == tokenizer.unk_token_id else kept).update(range(start, end))
        positions = {index for index, character in enumerate(text) if character.isalpha()}
        letters += count * len(positions)
        for how, gone in (("deletes", positions - kept - unknown), ("does not know", positions & unknown - kept)):
            lost[how] += count * len(gone)
            if gone:
                examples.setdefault(how, text)
    found = {
        how: f"The tokenizer {how} {number / letters:.1%} of the letters of these texts, such as of {examples[how]!r}"
        for how, number in lost.items()
        if number
    }
    if lost["deletes"] > LETTERS_LOST * letters:
        raise DataError(f"{found['deletes']}: {remedy}.")
    if lost["does not know"] <= LETTERS_LOST * letters:
        found.pop("does not know", None)
    return [f"{sentence}." for sentence in found.values()]


def train_tokenizer(
    texts: Iterable[str], vocab_size: int, normalization: str = "basic", max_length: int = 512
) -> PreTrainedTokenizerFast:
    """Train a WordPiece tokenizer; the same texts give the same tokenizer.

    Args:
        vocab_size: at most so many entries, the five special tokens ([PAD] is 0) included, unless the characters alone
            are more.
        max_length: the longest input, [CLS] and [SEP] included.
    """
    if normalization not in NORMALIZATIONS:
        raise ValueError(f"Unknown normalization {normalization!r}; choose from {', '.join(NORMALIZATIONS)}.")
    normalizer = basic_normalizer() if normalization == "basic" else normalizers.Sequence([])
    pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special_tokens = list(SPECIAL_TOKENS.values())
    words = [word for text in texts for word, _ in pre_tokenizer.pre_tokenize_str(normalizer.normalize_str(text))]
    pieces = [*special_tokens, *_learn_pieces(words, vocab_size - len(special_tokens))]
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    # Scripts without spaces make a word of a whole sentence.
    word_piece = models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=LONGEST_WORD)
    backend = Tokenizer(word_piece)
    backend.add_special_tokens(special_tokens)
    backend.normalizer = normalizer
    backend.pre_tokenizer = pre_tokenizer
    backend.decoder = decoders.WordPiece()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")]
    )
    return PreTrainedTokenizerFast(tokenizer_object=backend, model_max_length=max_length, **SPECIAL_TOKENS)


def _learn_pieces(words: Sequence[str], size: int) -> list[str]:
    """WordPieces by byte-pair merges.

    WordPieceTrainer numbers the ##characters in random order and breaks ties by these numbers, so no two
    runs agree. BpeTrainer sorts its alphabet: give it one where "a" and "##a" are two characters.
    """
    spelled = [[word[0], *("##" + character for character in word[1:])] for word in words]
    used = {symbol for symbols in spelled for symbol in symbols}
    characters = sorted({character for word in words for character in word})
    added: list[str] = []
    if not all(map(str.isascii, characters)):  # a letter of a larger alphabet may be rare, and begin no word here
        forms = (form for character in characters for form in (character, f"##{character}"))
        added = [form for form in forms if form not in used]
    alphabet = sorted({*used, *added})
    code = {symbol: chr(PRIVATE_USE + index) for index, symbol in enumerate(alphabet)}
    symbol_of = {character: symbol for symbol, character in code.items()}
    model = Tokenizer(models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=size, show_progress=False, initial_alphabet=[code[form] for form in added]
    )
    model.train_from_iterator(("".join(code[symbol] for symbol in symbols) for symbols in spelled), trainer)
    pieces = []
    numbers = model.get_vocab()
    for merged in sorted(numbers, key=lambda piece: numbers[piece]):
        first, *rest = (symbol_of[character] for character in merged)
        pieces.append(first + "".join(symbol.removeprefix("##") for symbol in rest))
    return pieces
