"""Findings in the release of a corpus: differences from the published one, and what is odd in it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from m4ser.data.schema import DataError

DIFFERENCES = "differences from the release as published"
DIFFERENCES_SHOWN = 20


class ReleaseReport:
    """Findings, lines by kind, in the order they are made.

    Differences from the release as published stop the build unless they are allowed; all else is listed only.

    Args:
        allow_partial: build whatever is there.
    """

    def __init__(self, allow_partial: bool = False):
        self.allow_partial = allow_partial
        self.findings: dict[str, list[str]] = {}

    @property
    def differences(self) -> list[str]:
        """The differences from the release as published."""
        return self.findings.get(DIFFERENCES, [])

    def add(self, kind: str, line: str) -> None:
        """Add a finding of a kind."""
        self.findings.setdefault(kind, []).append(line)

    def differ(self, line: str) -> None:
        """Add a difference from the release as published."""
        self.add(DIFFERENCES, line)

    def compare_counts(
        self, counted: Mapping[tuple[str, str], int], published: Mapping[str, Sequence[int]], parts: Sequence[str]
    ) -> None:
        """Differ where the utterances of a (part, class) are not as many as were published, class by class."""
        for name, numbers in published.items():
            for part, number in zip(parts, numbers, strict=True):
                found = counted.get((part, name), 0)
                if found != number:
                    self.differ(f"{part}: {found} utterances of {name} instead of {number}")

    def compare_length(self, utterance: str, seconds: float, annotated: float, tolerance: float) -> None:
        """List an utterance whose recording lasts another time than its annotation says, in seconds."""
        if abs(seconds - annotated) > tolerance:
            kind = f"recordings that differ from their annotated times by more than {tolerance} s"
            self.add(kind, f"{utterance}: {seconds:.2f} s instead of {annotated:.2f} s")

    def check(self) -> None:
        """Raise DataError, naming the first differences, where there are any that are not allowed."""
        differences = self.differences
        if not differences or self.allow_partial:
            return
        shown = [f"  {line}" for line in differences[:DIFFERENCES_SHOWN]]
        if len(differences) > DIFFERENCES_SHOWN:
            shown.append(f"  and {len(differences) - DIFFERENCES_SHOWN} more")
        raise DataError(
            "\n".join([f"{len(differences)} {DIFFERENCES}:", *shown])
            + "\nNothing was written; fetch what differs again, or build from what is there by --allow_partial."
        )


def find_recursive(folder: Path, name: str) -> Path | None:
    """Find the file or folder of this name in `folder` or below, the nearest one; None where there is none."""
    return min(folder.rglob(name), key=lambda path: (len(path.parts), path), default=None)
