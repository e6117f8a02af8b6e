"""The comparison form of a text: its words as they count when a hypothesis is compared with a transcript.

Out of the way are case, punctuation, typographic apostrophes, how a number is written ("21", "twenty-one"), spelling
variants ("colour", "color"; "okay", "OK"), apostrophes that an ASR model leaves out of a contraction where that makes
no other word ("dont", but not "ill"), and tags of what is no word ("[LAUGHTER]"). Letters of any script stay.
"""

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import regex

TAG = ""  # the key of what is no word

# A tag; a number with its separators; a word with the apostrophes in it, also those of corpora that split contractions
# ("it 's", "does n't"). Marks belong to the letters before them. The second one is for ASCII, and faster.
_PATTERN = (
    r"\[[^\[\]]*\]|<[^<>]*>"
    r"|\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+\.\d+|[%%&]"
    r"|[%(letters)s]+(?:[%(quotes)s][%(letters)s]+)*"
    r"(?:\s(?:n[%(quotes)s]t|[%(quotes)s](?:s|re|ve|m|ll|d))(?![%(letters)s]))?"
)
_WORD = regex.compile(_PATTERN % {"letters": r"\p{L}\p{M}\p{N}", "quotes": "'\u2019\u02bc"}, regex.IGNORECASE)
_ASCII_WORD = re.compile(_PATTERN % {"letters": "A-Za-z0-9", "quotes": "'"}, re.ASCII | re.IGNORECASE)
_VARIANTS = {
    "%": "percent",
    "&": "and",
    "ok": "okay",
    "mr": "mister",
    "mrs": "missus",
    "dr": "doctor",
    "vs": "versus",
    "grey": "gray",
    "greys": "grays",
    "cheque": "check",
    "cheques": "checks",
    "programme": "program",
    "programmes": "programs",
    "mum": "mom",
    "mums": "moms",
    "judgement": "judgment",
    "moustache": "mustache",
    "pyjamas": "pajamas",
    "sceptical": "skeptical",
    "doughnut": "donut",
    "doughnuts": "donuts",
    "cosy": "cozy",
    "yeah": "yea",
}
# British to American, for words long enough that nothing else is meant: "our" and "hour" stay.
_SPELLINGS = [
    (regex.compile(pattern), replacement)
    for pattern, replacement in (
        (r"(?<=[a-z]{2})our(?=(?:s|ed|ing|er|ers|ite|ites|able|ful|less|al|hood|hoods)?$)", "or"),
        (r"(?<=[a-z]{3})is(?=(?:e|es|ed|ing|er|ers|ation|ations)$)", "iz"),
        (r"(?<=[a-z]{3})ys(?=(?:e|es|ed|ing|er|ers)$)", "yz"),
        (r"(?<=[a-z]{2}[tb])re(?=s?$)", "er"),
        (r"(?<=[a-z]{3})ogue(?=s?$)", "og"),
        (r"(?<=(?:def|off|lic|pret))ence(?=s?$)", "ense"),
        (r"(?<=[aeiou][^aeiou]{1,3}[aeiou])ll(?=(?:ed|ing|er|ers|or|ors)$)", "l"),
    )
]
_CONTRACTION = regex.compile(r"'(?:t|re|ve|m|ll|d)$")
# Without their apostrophe they are other words.
_DISTINCT = {"i'll", "we'll", "he'll", "she'll", "we're", "who're", "i'd", "we'd", "she'd", "can't", "won't"}

_SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
)
_NUMBERS = {word: value for value, word in enumerate(f"{_SMALL} eighteen nineteen".split())}
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_NUMBERS |= {word: 10 * value for value, word in enumerate(_TENS.split(), start=2)}
_MULTIPLIERS = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9}
_IRREGULAR = {"one": "first", "two": "second", "three": "third", "five": "fifth", "nine": "ninth", "twelve": "twelfth"}
_ORDINALS = {_IRREGULAR.get(word, word.removesuffix("t") + "th").replace("yth", "ieth"): word for word in _NUMBERS}
_ORDINALS |= {f"{word}th": word for word in _MULTIPLIERS}
_ORDINAL_DIGITS = regex.compile(r"(\d+)(?:st|nd|rd|th)$")
_LONGEST = 16  # digits
_CENTURIES = range(13, 21)  # of years in two halves, such as nineteen ninety-nine


class Word(NamedTuple):
    """A stretch text[start:end] that counts as one; `key` is its comparison form, `TAG` that of a tag."""

    start: int
    end: int
    key: str


def comparison_words(text: str) -> list[Word]:
    """Return the words and tags of a text in their order; numbers of several words are one."""
    pattern = _ASCII_WORD if text.isascii() else _WORD
    words = [Word(found.start(), found.end(), _key(found[0])) for found in pattern.finditer(text)]
    if any(_is_number(word.key) for word in words):
        return _join_numbers(words)
    return words


def comparison_form(text: str) -> str:
    """Return the text's words as they are compared, a space between two of them."""
    return " ".join(word.key for word in comparison_words(text) if word.key != TAG)


@lru_cache(maxsize=1 << 16)
def _key(surface: str) -> str:
    if surface[0] in "[<":
        return TAG
    word = unicodedata.normalize("NFKC", surface).casefold().replace("\u2019", "'").replace("\u02bc", "'")
    word = "".join(word.split())
    if word in _VARIANTS:
        return _VARIANTS[word]
    if word[0].isdecimal():
        return word.replace(",", "")
    if "'" in word:
        return word if word in _DISTINCT or not _CONTRACTION.search(word) else word.replace("'", "")
    for pattern, replacement in _SPELLINGS:
        word = pattern.sub(replacement, word)
    return word


@lru_cache(maxsize=1 << 16)
def _is_number(key: str) -> bool:
    return key in _NUMBERS or key in _MULTIPLIERS or key in _ORDINALS or _ORDINAL_DIGITS.match(key) is not None


def _join_numbers(words: Sequence[Word]) -> list[Word]:
    """Replace each spoken number by one word whose key is its digits, "th" behind an ordinal's."""
    keys = [word.key for word in words]
    joined: list[Word] = []
    index = 0
    while index < len(words):
        value, stop, ordinal = _read_number(keys, index)
        if stop == index:
            joined.append(words[index])
            index += 1
            continue
        if value in _CENTURIES and keys[index].isalpha() and not ordinal:
            years, end, of_year = _read_number(keys, stop)
            if 10 <= years <= 99 and keys[stop].isalpha():
                value, stop, ordinal = 100 * value + years, end, of_year
        joined.append(Word(words[index].start, words[stop - 1].end, f"{value}{'th' * ordinal}"))
        index = stop
    return joined


def _read_number(keys: Sequence[str], start: int) -> tuple[int, int, bool]:
    """Return the number that begins at `start`, where it ends, and if it is an ordinal; `start` if none does."""
    total, group, index = 0, None, start
    scale, spoken, ordinal = 10**12, True, False
    while index < len(keys) and not ordinal:
        key = keys[index]
        follows = keys[index + 1] if index + 1 < len(keys) else ""
        if key == "and" and (total or group) and spoken and _fits(_NUMBERS.get(follows, 0), group, spoken):
            key, index = follows, index + 1
        digits = _ORDINAL_DIGITS.match(key)
        ordinal = digits is not None or key in _ORDINALS
        key = digits[1] if digits else _ORDINALS.get(key, key)
        if key == "a" and group is None and not total and follows in _MULTIPLIERS:
            group = 1
        elif key.isdecimal() and len(key) < _LONGEST and group is None and not total:
            group, spoken = int(key), False
        elif key in _NUMBERS and _fits(_NUMBERS[key], group, spoken):
            group = (group or 0) + _NUMBERS[key]
        elif key == "hundred" and (group or 1) < 100:
            group, spoken = 100 * (group or 1), True
        elif 1000 <= _MULTIPLIERS.get(key, 0) < scale:
            scale = _MULTIPLIERS[key]
            total, group, spoken = total + scale * (1 if group is None else group), None, True
        else:
            return total + (group or 0), index, False
        index += 1
    return total + (group or 0), index, ordinal


def _fits(value: int, group: int | None, spoken: bool) -> bool:
    """Tell whether a number of one word continues what was read: "twenty" + "one", "hundred" + "twenty"."""
    if group is None:
        return True
    return (
        spoken
        and value > 0
        and group > 0
        and (group % 100 == 0 or (value < 10 and group % 10 == 0 and group % 100 >= 20))
    )
