"""Word error rates: one normalizer and one count for the dataset card and for `m4ser wer`."""

import json
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import jiwer
import regex
from transformers.models.whisper.english_normalizer import BasicTextNormalizer, EnglishTextNormalizer
from transformers.utils import cached_file

from m4ser.data.schema import DataError

ENGLISH, OTHER = "English", "basic"
# A corpus is not English where more of its letters are outside ASCII, and fewer of its words are "the". One that is
# written in ASCII alone, such as Indonesian, is taken for English.
_FOREIGN_LETTERS = 0.001
_DEFINITE_ARTICLES = 0.01

_FOREIGN = regex.compile(r"(?!\p{ASCII})[\p{L}\p{M}]")
_IDEOGRAPHS = 0x20000  # the first of 42,720 in a row, more than there are other letters


def normalizer_name(transcripts: Iterable[str]) -> str:
    """Return which of Whisper's normalizers fits a corpus by its letters, ENGLISH or OTHER.

    The English one drops "um" and "mm" and writes "won't" out; in German, "um" is a word.
    """
    letters = foreign = 0
    words: Counter[str] = Counter()
    for text in transcripts:
        letters += sum(letter.isalpha() for letter in text)
        foreign += len(_FOREIGN.findall(text))
        words.update(text.casefold().split())
    is_other = foreign > _FOREIGN_LETTERS * letters and words["the"] < _DEFINITE_ARTICLES * words.total()
    return OTHER if is_other else ENGLISH


def corpus_normalizer(transcripts: Iterable[str], asr: str | Path | None = None) -> Callable[[str], str]:
    """Return the normalizer by which a corpus with these transcripts is scored; `asr` as of `whisper_normalizer`."""
    if normalizer_name(transcripts) == ENGLISH:
        return whisper_normalizer(asr)
    return _keep_letters(BasicTextNormalizer())


def whisper_normalizer(asr: str | Path | None = None) -> Callable[[str], str]:
    """Return Whisper's English normalizer, from a text to its words as they are scored, in which every letter stays.

    By itself it makes "kot" of "kót", and drops the vowel signs of other scripts.

    Args:
        asr: id or folder of a Whisper model, whose tokenizer brings the table that makes "colour" "color". Without it
            these are two words.

    Raises:
        DataError: there is no such model, or no table with it.
    """
    if asr is None:
        return _keep_letters(EnglishTextNormalizer({}))
    try:
        path = cached_file(str(asr), "normalizer.json")
        if path is None:
            raise OSError("there is no normalizer.json")
        with open(path, encoding="utf-8") as file:
            return _keep_letters(EnglishTextNormalizer(json.load(file)))
    except (OSError, ValueError) as error:
        raise DataError(f"No table of spellings at {str(asr)!r}: {error}") from error


def _keep_letters(normalize: Callable[[str], str]) -> Callable[[str], str]:
    """Hide letters and marks outside ASCII from a normalizer, each as an ideograph, which it leaves as it is."""
    ideographs: dict[int, int] = {}

    def keep(text: str) -> str:
        if not _FOREIGN.search(text):
            return normalize(text)
        text = unicodedata.normalize("NFKC", text).casefold()
        for letter in _FOREIGN.findall(text):
            ideographs.setdefault(ord(letter), _IDEOGRAPHS + len(ideographs))
        normalized = normalize(text.translate(ideographs))
        return normalized.translate({other: letter for letter, other in ideographs.items()})

    return keep


def count_word_errors(hypotheses: Sequence[str], references: Sequence[str]) -> tuple[int, int]:
    """Return the substitutions, deletions and insertions of all pairs, and the number of reference words.

    Words are separated by white space and compared as they are. A recording whose reference is empty adds no words,
    and every word of its hypothesis is an insertion.
    """
    pairs = [
        (" ".join(one.split()), " ".join(other.split())) for one, other in zip(hypotheses, references, strict=True)
    ]
    # jiwer refuses an empty reference, so the words of hypotheses of silence are counted here.
    inserted = sum(len(hypothesis.split()) for hypothesis, reference in pairs if not reference)
    spoken = [(hypothesis, reference) for hypothesis, reference in pairs if reference]
    if not spoken:
        return inserted, 0
    output = jiwer.process_words([reference for _, reference in spoken], [hypothesis for hypothesis, _ in spoken])
    errors = output.substitutions + output.deletions + output.insertions + inserted
    return errors, output.hits + output.substitutions + output.deletions
