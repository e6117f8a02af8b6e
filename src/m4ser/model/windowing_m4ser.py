"""Long recordings: cut into pieces while they are decoded, and what was found in the pieces joined to a timeline."""

from itertools import chain, pairwise

import numpy as np


def windows(blocks, length, hop):
    """Cut a stream of samples into windows; no more of it is held than a block and a window.

    Args:
        blocks: arrays (samples,) that follow each other.
        length, hop: samples of a window, and from one's start to the next one's, at most `length`.

    Yields:
        Where a window starts, and its samples (length,). The last one ends with the stream and may be shorter.
    """
    start, held = 0, np.zeros(0, np.float32)
    for block in blocks:
        held = np.concatenate([held, block])
        while len(held) > length:
            yield start, held[:length]
            start, held = start + hop, held[hop:]
    yield start, held


def segments(blocks, hear, longest):
    """Cut a stream of samples where a recognizer hears one stretch of speech end.

    Args:
        blocks: arrays (samples,) that follow each other.
        hear: gives of at most `longest` samples [(start, end, text)], in order and without overlap.

    Yields:
        Where a segment starts, its samples, and its text.
    """
    start, held = 0, np.zeros(0, np.float32)
    for block in chain(blocks, [None]):
        held = held if block is None else np.concatenate([held, block])
        while len(held) > longest or (block is None and len(held)):
            heard = hear(held[:longest])
            done = min(longest, len(held))
            if len(held) > longest and len(heard) > 1:
                # The last segment may go on where the window ends: it is heard again together with what follows.
                done = heard.pop()[0]
            yield from ((start + first, held[first:last], text) for first, last, text in heard)
            start, held = start + done, held[done:]


def without_overlap(pieces):
    """Turn pieces that may overlap into stretches of time that do not.

    A stretch begins with a piece and ends where the next begins. Its scores are the mean of all pieces that reach into
    it, weighted by how far they do.

    Args:
        pieces: dicts with "start" and "end" in seconds and "scores" {label: score}, in order of their starts.

    Yields:
        The same dicts with the stretch's "end" and "scores".
    """
    covering = []
    for piece, following in pairwise(chain(pieces, [None])):
        covering = [earlier for earlier in covering if earlier["end"] > piece["start"]] + [piece]
        end = piece["end"] if following is None else min(piece["end"], following["start"])
        weights = [min(one["end"], end) - piece["start"] for one in covering]
        yield {**piece, "end": end, "scores": mean_scores([one["scores"] for one in covering], weights)}


def mean_scores(scores, weights):
    """The weighted mean of several {label: score}."""
    total = sum(weights)
    return {
        label: sum(weight * one[label] for weight, one in zip(weights, scores, strict=True)) / total
        for label in scores[0]
    }
