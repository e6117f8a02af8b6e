"""How many recordings of each split have a hypothesis: said aloud, and refused where too many lack it."""

from collections.abc import Mapping

from m4ser.data.schema import DataError

LOWEST = 0.99  # of the recordings of a split

Counts = Mapping[str, tuple[int, int]]  # by split: recordings with a text, and all recordings


def describe_coverage(counts: Counts) -> str:
    """Return "train 9,988 of 9,989, validation ..."."""
    return ", ".join(f"{split} {present:,} of {total:,}" for split, (present, total) in counts.items())


def check_coverage(counts: Counts, column: str, remedy: str) -> None:
    """Refuse a dataset of which a split has a text for less than 99 % of its recordings.

    Args:
        column: hypothesis, or another column of texts. remedy: ends the sentence: what to do about it.

    Raises:
        DataError: naming the counts of all splits.
    """
    if any(present < LOWEST * total for present, total in counts.values()):
        raise DataError(
            f"Too many recordings have no {column} (there is one for {describe_coverage(counts)}): {remedy}"
        )
