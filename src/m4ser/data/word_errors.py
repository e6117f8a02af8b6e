"""Word error rates: one normalizer and one count for the dataset card and for `m4ser wer`."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import jiwer
from transformers.models.whisper.english_normalizer import EnglishTextNormalizer
from transformers.utils import cached_file

from m4ser.data.schema import DataError


def whisper_normalizer(asr: str | Path | None = None) -> Callable[[str], str]:
    """Return Whisper's English normalizer, from a text to its words as they are scored.

    Args:
        asr: id or folder of a Whisper model, whose tokenizer brings the table that makes "colour" "color". Without it
            these are two words.

    Raises:
        DataError: there is no such model, or no table with it.
    """
    if asr is None:
        return EnglishTextNormalizer({})
    try:
        path = cached_file(str(asr), "normalizer.json")
        if path is None:
            raise OSError("there is no normalizer.json")
        with open(path, encoding="utf-8") as file:
            return EnglishTextNormalizer(json.load(file))
    except (OSError, ValueError) as error:
        raise DataError(f"No table of spellings at {str(asr)!r}: {error}") from error


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
