"""Definitions of the measures, and warnings about the runs of a report."""

from collections.abc import Sequence
from pathlib import Path

from m4ser.evaluation.report.runs import PAPER_PROTOCOL, Group
from m4ser.evaluation.report.table import pooled

DEFINITIONS = {
    "WA (ACC)": "weighted accuracy: correct predictions over all predictions, plain accuracy. Elsewhere the "
    "name often means its opposite, which is UA here.",
    "UA": "unweighted accuracy: the mean of the emotions' recalls (UAR, balanced accuracy); every emotion counts the "
    "same, however rare.",
    "W-F1": "F1 of each emotion, averaged with its share of the test recordings as weight.",
}
SHARED_TRANSCRIPTS = 0.05  # above this share, a model may know the emotion of a sentence by heart


def warnings(groups: Sequence[Group], unfinished: Sequence[Path]) -> list[str]:
    """Return sentences about the runs given, the gravest first."""
    found = []
    for group in groups:
        if group.protocol == PAPER_PROTOCOL and not all(run.keeps_last_epoch for run in group.runs):
            found.append(f"{group.name}: the test session chose the epoch (protocol paper), which flatters the model.")
    for group in groups:
        if group.missing:
            missing = ", ".join(f"fold {fold} of seed {seed}" for fold, seed in group.missing)
            found.append(f"{group.name}: {missing} missing from {group.folder.as_posix()}, and from its means.")
    found += [f"{folder.as_posix()}: a training that has not finished; it is in no table." for folder in unfinished]
    for group in groups:
        shares = [run.results.get("shared_transcripts", {}).get("test", 0) for run in group.runs]
        if max(shares) > SHARED_TRANSCRIPTS:
            found.append(
                f"{group.name}: up to {100 * max(shares):.0f} % of the test recordings say what is also said in "
                "training, so that the words alone may give the emotion away."
            )
    single = [group.name for group in groups if len({run.results["seed"] for run in group.runs}) == 1]
    if single:
        found.append(f"One seed only, so that the spread over seeds is unknown: {', '.join(single)}.")
    without = [group.name for group in groups if any(run.predictions is None for run in group.runs)]
    if without:
        found.append(f"No predictions.csv, so neither intervals nor paired tests: {', '.join(without)}.")
    apart = [group.name for group in groups if group.name not in without and pooled(group) is None]
    if apart:
        found.append(f"The seeds tested different recordings, so that there is no interval: {', '.join(apart)}.")
    return found
