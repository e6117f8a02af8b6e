"""Edit labels between an ASR hypothesis and its reference (Sec. III-C: AED and AEC targets).

Tokens on the longest common subsequence (LCS) are aligned; what stands between two aligned tokens is a gap:

| hypothesis in gap | reference in gap | labels |
|---|---|---|
| some | some | first CHANGE with the whole replacement, the others DELETE |
| some | none | all DELETE |
| none | some | the kept token before the gap (or the start) becomes CHANGE: itself, then the missing tokens |

The paper does not say where missing tokens go; the last row is our choice.
"""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from rapidfuzz.distance import LCSseq

KEEP, DELETE, CHANGE = 0, 1, 2


@dataclass(frozen=True)
class EditScript:
    """The edits that turn a hypothesis of n tokens into its reference.

    Args:
        tags: n + 1 entries of KEEP, DELETE, CHANGE. Entry 0 belongs to the start ([CLS]), never DELETE; entry
            i to hypothesis token i - 1.
        corrections: the replacement of each CHANGE, by its index in `tags`.
        kept: how many hypothesis tokens stay, the LCS length: a CHANGE that begins with its own token counts.
    """

    tags: tuple[int, ...]
    corrections: Mapping[int, tuple[Hashable, ...]]
    kept: int

    def apply(self, hypothesis: Sequence[Hashable]) -> list[Hashable]:
        """Give the reference back. Raises ValueError for a hypothesis of another length."""
        if len(hypothesis) + 1 != len(self.tags):
            raise ValueError(
                f"This edit script is for {len(self.tags) - 1} tokens, the hypothesis has {len(hypothesis)}."
            )
        reference = list(self.corrections.get(0, ()))
        for index, token in enumerate(hypothesis, start=1):
            if self.tags[index] == KEEP:
                reference.append(token)
            elif self.tags[index] == CHANGE:
                reference.extend(self.corrections[index])
        return reference


def align(hypothesis: Sequence[Hashable], reference: Sequence[Hashable]) -> EditScript:
    """Label each hypothesis token KEEP, DELETE or CHANGE so that the edits give the reference."""
    tags = [KEEP] * (len(hypothesis) + 1)
    corrections = {}
    kept = len(hypothesis)
    for start, stop, missing_start, missing_stop in gaps(hypothesis, reference):
        missing = tuple(reference[missing_start:missing_stop])
        kept -= stop - start
        tags[start + 1 : stop + 1] = [DELETE] * (stop - start)
        if not missing:
            continue
        if start < stop:
            corrections[start + 1] = missing
        else:  # nothing to replace: the token before the gap, hypothesis[start - 1], carries the missing ones
            corrections[start] = (*hypothesis[max(start - 1, 0) : start], *missing)
    for index in corrections:
        tags[index] = CHANGE
    return EditScript(tuple(tags), corrections, kept)


def gaps(hypothesis: Sequence[Hashable], reference: Sequence[Hashable]) -> Iterator[tuple[int, int, int, int]]:
    """Yield (start, stop, from, to): hypothesis[start:stop] stands where the reference has reference[from:to]."""
    # rapidfuzz compares hashes (so -1 == -2 and "a" == 97): small numbers make the comparison exact.
    codes: dict[Hashable, int] = {}
    hypothesis_codes = [codes.setdefault(token, len(codes)) for token in hypothesis]
    reference_codes = [codes.setdefault(token, len(codes)) for token in reference]
    start = reference_start = 0
    for block in LCSseq.opcodes(hypothesis_codes, reference_codes).as_matching_blocks():
        if block.a > start or block.b > reference_start:
            yield start, block.a, reference_start, block.b
        start, reference_start = block.a + block.size, block.b + block.size
