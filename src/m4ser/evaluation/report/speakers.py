"""Whose voices the test recordings are: one speaker's are not independent, so that whole speakers are resampled."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from m4ser.data.loading import load_dataset
from m4ser.evaluation.report.runs import Group

Speakers = Mapping[str, str]  # {id of a recording: its speaker}
FEWEST = 8  # speakers of a group: fewer are too few to be drawn or exchanged


def known_speakers(groups: Sequence[Group], dataset: str | Path) -> Speakers | None:
    """Return the speakers of all recordings that groups on one dataset were tested on.

    None where the dataset does not know them all, or a group was tested on fewer than [`FEWEST`] of them.
    """
    found: dict[str, str | None] = {}
    for rows in load_dataset(dataset).values():
        if {"id", "speaker"} <= set(rows.column_names):
            found |= dict(zip(rows["id"], rows["speaker"], strict=True))
    speakers: dict[str, str] = {}
    for group in groups:
        tested = {name: found.get(name) for run in group.runs for name in run.predictions or ()}
        known = {name: speaker for name, speaker in tested.items() if speaker is not None}
        if len(known) < len(tested) or len(set(known.values())) < FEWEST:
            return None
        speakers |= known
    return speakers


def clusters(ids: Sequence[str], speakers: Speakers | None) -> list[str] | None:
    """Return the speaker of each recording, or None where they are not known."""
    return None if speakers is None else [speakers[name] for name in ids]
