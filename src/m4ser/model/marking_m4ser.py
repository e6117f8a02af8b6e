"""A hypothesis's errors and its correction as text, in whole words whatever the tokenizer cuts them into."""

import re
from bisect import bisect_right
from collections.abc import Sequence
from itertools import groupby

from transformers import PreTrainedTokenizerBase

from .correction_m4ser import CHANGE, DELETE, KEEP

MARKS = {KEEP: "{}", CHANGE: "[{}]", DELETE: "~{}~"}


def mark_errors(tokenizer: PreTrainedTokenizerBase, text: str, tags: Sequence[int]) -> str:
    """Mark a hypothesis's errors, word by word: [to be replaced] in brackets and ~to be deleted~ between tildes.

    A word is to be deleted where all of its tokens are, and to be replaced where only some are edited.

    Args:
        tags: of the tokens that the tokenizer makes of `text`, [CLS] first and [SEP] last.
    """
    offsets = tokenizer(text, truncation=True, return_offsets_mapping=True)["offset_mapping"]
    words = list(re.finditer(r"\S+", text))
    starts = [word.start() for word in words]
    found: list[set[int]] = [set() for _ in words]
    for (start, end), tag in zip(offsets[1:-1], tags[1:-1], strict=True):
        if start < end:
            found[bisect_right(starts, end - 1) - 1].add(tag)
    kinds = [KEEP if kind <= {KEEP} else DELETE if kind == {DELETE} else CHANGE for kind in found]
    runs = []
    for kind, group in groupby(zip(kinds, words, strict=True), key=lambda pair: pair[0]):
        runs.append(MARKS[kind].format(" ".join(word.group() for _, word in group)))
    return " ".join(["[]", *runs] if tags[0] == CHANGE else runs)


def decode_words(tokenizer: PreTrainedTokenizerBase, token_ids: Sequence[int]) -> str:
    """Decode tokens of which the first may continue a word whose beginning was deleted."""
    text = str(tokenizer.decode([tokenizer.cls_token_id, *token_ids]))
    return text.removeprefix(tokenizer.cls_token).strip()
