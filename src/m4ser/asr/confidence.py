"""How sure an ASR model is of each word that it writes."""

import math
from collections.abc import Sequence

from m4ser.asr.guard import mean_log_probability

# Characters that belong together, and the log-probabilities of the tokens that make them.
TextPiece = tuple[str, Sequence[float]]


def word_confidences(text: str, pieces: Sequence[TextPiece], log_probabilities: Sequence[float]) -> list[float]:
    """Compute the geometric mean of the probabilities of each word's tokens, for the words that whitespace separates.

    Args:
        text: whose words they are. pieces: of the text, in order; only whitespace may be elsewhere.
        log_probabilities: of all tokens; their mean stands for a word that no piece spells.
    """
    owners = [index for index, (characters, _) in enumerate(pieces) for _ in "".join(characters.split())]
    confidences, start = [], 0
    for word in text.split():
        own = dict.fromkeys(owners[start : start + len(word)])
        values = [value for index in own for value in pieces[index][1]]
        confidences.append(math.exp(mean_log_probability(values or log_probabilities)))
        start += len(word)
    return confidences
