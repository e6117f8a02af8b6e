"""Changes to texts: word errors at a given rate, or the text of another recording."""

from collections.abc import Sequence

import numpy as np

SUBSTITUTED, DELETED = 0.6, 0.2  # of the errors; the others are insertions


def inject_word_errors(text: str, rate: float, vocabulary: Sequence[str], generator: np.random.Generator) -> str:
    """Substitute or delete a share of the words, or insert another word after them.

    Args:
        text: words separated by white space. rate: errors over words, 0..1; what is over whole errors is drawn.
        vocabulary: words to draw from, at least two.

    Returns:
        A text whose word error rate against `text` is `rate` on average, less where an error undoes another.
    """
    words = text.split()
    wanted = rate * len(words)
    count = int(wanted) + (generator.random() < wanted - int(wanted))
    wrong = set(generator.choice(len(words), count, replace=False).tolist()) if count else set()
    changed = []
    for index, word in enumerate(words):
        if index not in wrong:
            changed.append(word)
            continue
        kind = generator.random()
        if kind < SUBSTITUTED:
            changed.append(_another(word, vocabulary, generator))
        elif kind >= SUBSTITUTED + DELETED:
            changed += [word, _another(word, vocabulary, generator)]
    return " ".join(changed)


def shuffle_texts(texts: Sequence[str], labels: Sequence[int], generator: np.random.Generator) -> list[str]:
    """Give each recording the text of another one, of another emotion where there is one."""
    order = generator.permutation(len(texts))
    given = []
    for index, label in enumerate(labels):
        others = [other for other in order if labels[other] != label] or [other for other in order if other != index]
        given.append(texts[others[index % len(others)]] if others else texts[index])
    return given


def _another(word: str, vocabulary: Sequence[str], generator: np.random.Generator) -> str:
    others = [other for other in vocabulary if other != word]
    return others[generator.integers(len(others))]
