"""Where a system was published, and how far its network here follows that."""

from collections.abc import Mapping
from dataclasses import dataclass, field

FIDELITIES = {
    "A": "fully specified",
    "B": "specified but for small choices",
    "C": "after its abstract",
}


@dataclass(frozen=True)
class Publication:
    """The publication that a file of systems/ follows.

    Args:
        reference: authors, venue, year and doi or arXiv number.
        fidelity: a key of `FIDELITIES`.
        figures: those of the system's own paper, in per cent, by corpus and measure, such as
            {"IEMOCAP": {"WA": 81.9, "UA": 81.3}}; the M4SER paper's Tables II and III have their own.
        caveat: a sentence on what is known to flatter these figures, such as a test session that chose the epoch;
            empty where nothing is known.

    Raises:
        ValueError: an unknown fidelity.
    """

    reference: str
    fidelity: str
    figures: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    caveat: str = ""

    def __post_init__(self) -> None:
        if self.fidelity not in FIDELITIES:
            raise ValueError(f"The fidelity of a system is one of {', '.join(FIDELITIES)}, not {self.fidelity!r}.")
