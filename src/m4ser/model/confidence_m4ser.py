"""An ASR model's confidence in each word of a hypothesis, and on the tokens of the text encoder."""

import re
from collections.abc import Sequence
from typing import Any


def check_word_confidences(text: str | None, confidences: Any) -> None:
    """Refuse what is not a number from 0 to 1 for each of a text's words, which whitespace separates; None is fine.

    Raises:
        ValueError: saying what is wrong.
    """
    if confidences is None:
        return
    is_list = isinstance(confidences, Sequence) and not isinstance(confidences, str)
    if not is_list or not all(isinstance(value, int | float) and 0 <= value <= 1 for value in confidences):
        raise ValueError("word_confidences is a list of numbers from 0 to 1")
    if len(confidences) != len(words := (text or "").split()):
        raise ValueError(f"there are {len(confidences)} word_confidences for {len(words)} words")


def token_confidences(
    text: str, word_confidences: Sequence[float] | None, offsets: Sequence[tuple[int, int]]
) -> list[float]:
    """Return each token's confidence: that of the word that it ends in, 1.0 for [CLS], [SEP] and padding.

    Args:
        text: the hypothesis. word_confidences: one for each of its words; None counts as 1.0 for all.
        offsets: first and last + 1 of the characters of each token in the text; the same where it has none.
    """
    by_character = [1.0] * len(text)
    words = re.finditer(r"\S+", text) if word_confidences is not None else ()
    for word, confidence in zip(words, word_confidences or (), strict=True):
        by_character[word.start() : word.end()] = [confidence] * len(word.group())
    return [by_character[end - 1] if start < end else 1.0 for start, end in offsets]
