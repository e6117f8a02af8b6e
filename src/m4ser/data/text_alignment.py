"""Align the tokens of two texts by the comparison form of their words (`m4ser.data.comparison`).

The texts stay as the tokenizer of the text encoder takes them, and the labels are on its tokens. Where a word stands
in both texts in two ways ("I'll" and "i'll", "2" and "two"), all of its tokens together are one unit; every other word
is aligned token by token, as far as it is spelled alike. Punctuation and tags are no units: whatever they are, nothing
is wrong with them. What is corrected takes the transcript's own tokens, with the punctuation between its words.
"""

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from transformers import PreTrainedTokenizerBase

from m4ser.data.alignment import CHANGE, DELETE, KEEP, EditScript, gaps
from m4ser.data.comparison import TAG, Word, comparison_words

NO_WORD = -1


class Unit(NamedTuple):
    """Tokens first to last - 1, which are kept or not together."""

    symbol: Hashable
    first: int
    last: int


@dataclass(frozen=True)
class TokenizedText:
    """A text, its tokens, its words, and the word that each token belongs to, if any."""

    ids: list[int]
    words: list[Word]
    owners: list[int]
    unknown: Mapping[int, str]  # of the tokens that the tokenizer does not know, their text

    @classmethod
    def create(cls, tokenizer: PreTrainedTokenizerBase, text: str) -> "TokenizedText":
        """Tokenize without special tokens."""
        encoding = tokenizer(
            text,
            add_special_tokens=False,
            return_offsets_mapping=True,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )
        words, owners, current = comparison_words(text), [], 0
        for start, end in encoding.offset_mapping:
            while current < len(words) and words[current].end <= start:
                current += 1
            inside = current < len(words) and words[current].start < end
            owners.append(current if inside else NO_WORD)
        unknown = {}
        if tokenizer.unk_token_id in encoding.input_ids:
            spans = zip(encoding.input_ids, encoding.offset_mapping, strict=True)
            unknown = {i: text[a:b] for i, (id, (a, b)) in enumerate(spans) if id == tokenizer.unk_token_id}
        return cls(encoding.input_ids, words, owners, unknown)

    def forms(self) -> dict[str, set[tuple[Hashable, ...]]]:
        """Return the tokens of each word by its comparison form, in all ways that it stands here."""
        tokens: list[list[Hashable]] = [[] for _ in self.words]
        for index, owner in enumerate(self.owners):
            if owner != NO_WORD:
                tokens[owner].append(self.unknown.get(index, self.ids[index]))
        forms = defaultdict(set)
        for word, ids in zip(self.words, tokens, strict=True):
            if ids:
                forms[word.key].add(tuple(ids))
        return forms

    def units(self, variants: set[str]) -> list[Unit]:
        """Return what is aligned: the words of `variants` as one unit each, the tokens of the other words."""
        units: list[Unit] = []
        for index, owner in enumerate(self.owners):
            if owner == NO_WORD or self.words[owner].key == TAG:
                continue
            key = self.words[owner].key
            if key not in variants:
                units.append(Unit(self.unknown.get(index, self.ids[index]), index, index + 1))
            elif index and self.owners[index - 1] == owner:
                units[-1] = units[-1]._replace(last=index + 1)
            else:
                units.append(Unit(key, index, index + 1))
        return units

    def spoken(self, first: int, last: int) -> tuple[int, ...]:
        """Return the tokens first to last - 1 without those of tags."""
        owners = self.owners[first:last]
        tokens = zip(self.ids[first:last], owners, strict=True)
        return tuple(id for id, owner in tokens if owner == NO_WORD or self.words[owner].key != TAG)

    def starts_word(self, index: int) -> bool:
        """Tell whether the token is the first of a word."""
        return index == 0 or self.owners[index - 1] != self.owners[index]


def align_texts(hypothesis: TokenizedText, reference: TokenizedText) -> EditScript:
    """Label each token of the hypothesis KEEP, DELETE or CHANGE so that the edits give the reference's words.

    Returns:
        An `EditScript` over the token ids. What it makes of the hypothesis equals the reference in comparison form.
    """
    tags = [KEEP] * (len(hypothesis.ids) + 1)
    corrections: dict[int, tuple[int, ...]] = {}
    if hypothesis.ids == reference.ids and not hypothesis.unknown:
        return EditScript(tuple(tags), corrections, len(hypothesis.ids))
    forms, others = hypothesis.forms(), reference.forms()
    variants = {key for key in forms.keys() & others.keys() - {TAG} if len(forms[key] | others[key]) > 1}
    units, reference_units = hypothesis.units(variants), reference.units(variants)
    symbols, reference_symbols = [unit.symbol for unit in units], [unit.symbol for unit in reference_units]
    for start, stop, missing_start, missing_stop in gaps(symbols, reference_symbols):
        missing: tuple[int, ...] = ()
        if missing_start < missing_stop:
            missing = reference.spoken(reference_units[missing_start].first, reference_units[missing_stop - 1].last)
        if start == stop:  # as in `align`, the token before the gap or the start carries what is missing
            carrier = units[start - 1].last if start else 0
            corrections[carrier] = (*hypothesis.ids[max(carrier - 1, 0) : carrier], *missing)
        else:
            first, last = _deleted(hypothesis, units, start, stop, bool(missing))
            tags[first + 1 : last + 1] = [DELETE] * (last - first)
            if missing:
                corrections[first + 1] = missing
    for index in corrections:
        tags[index] = CHANGE
    own = sum(
        tags[index] == CHANGE and ids[0] == hypothesis.ids[index - 1] for index, ids in corrections.items() if index
    )
    return EditScript(tuple(tags), corrections, tags[1:].count(KEEP) + own)


def _deleted(
    hypothesis: TokenizedText, units: Sequence[Unit], start: int, stop: int, replaced: bool
) -> tuple[int, int]:
    """Return the first and the last + 1 of the tokens that go with units[start:stop].

    With words that have no replacement goes the punctuation behind them, or before them at the end of the text.
    """
    first, last = units[start].first, units[stop - 1].last
    if replaced or not hypothesis.starts_word(first):
        return first, last
    if start and stop == len(units):
        while hypothesis.owners[first - 1] == NO_WORD:
            first -= 1
    else:
        while last < len(hypothesis.ids) and hypothesis.owners[last] == NO_WORD:
            last += 1
    return first, last
