"""Word error rates of `experiments.correction`, counted in two ways.

A corrected text exists as tokens only, which have lost case, accents and spacing. Hypotheses and transcripts therefore
go through the same tokenizer, so that each of the three is counted as it is spelled by its tokens (`spell`):

comparison: on the comparison form, as labels are aligned.
raw: on the text that the text encoder gets. A word is what stands between spaces, with the apostrophe of its
    contraction; every punctuation mark is a word of its own. Spellings, numbers ("2", "two"), hyphens, missing
    apostrophes ("didnt") and the punctuation of which a hypothesis has none all count.
"""

import re
from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

from experiments.correction_data import Rows
from m4ser.data.comparison import comparison_form
from m4ser.data.word_errors import count_word_errors

_CONTRACTION = re.compile(r"(?<=\w) ' (?=(?:s|t|re|ve|m|ll|d)\b)")
_RAW_WORD = re.compile(r"\[UNK\]|\w+(?:'\w+)*|[^\w\s]")


def spell(tokenizer: PreTrainedTokenizerBase, token_ids: Sequence[int]) -> str:
    """Decode, and close the spaces that decoding leaves in contractions ("it ' s")."""
    return _CONTRACTION.sub("'", tokenizer.decode(token_ids))


def raw_form(text: str) -> str:
    """Put a space between words and punctuation marks, as BERT's tokenizer separates them."""
    return " ".join(_RAW_WORD.findall(text))


COUNTS = {"comparison": comparison_form, "raw": raw_form}


def word_error_rates(tokenizer: PreTrainedTokenizerBase, rows: Rows, texts: Sequence[str]) -> dict[str, float]:
    """Compute the rates in percent by count, of spelled `texts` over all words of the rows' transcripts."""
    transcripts = _spelled(tokenizer, rows, "transcript")
    rates = {}
    for name, form in COUNTS.items():
        errors, words = count_word_errors([form(text) for text in texts], [form(text) for text in transcripts])
        rates[name] = 100 * errors / words
    return rates


def hypothesis_error_rates(tokenizer: PreTrainedTokenizerBase, rows: Rows) -> dict[str, float]:
    """Compute the rates in percent by count, of the hypotheses as they are."""
    return word_error_rates(tokenizer, rows, _spelled(tokenizer, rows, "hypothesis"))


def _spelled(tokenizer: PreTrainedTokenizerBase, rows: Rows, column: str) -> list[str]:
    texts = [row[column] for row in rows]
    return [spell(tokenizer, ids) for ids in tokenizer(texts, add_special_tokens=False).input_ids]
