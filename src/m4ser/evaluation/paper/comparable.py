"""Which runs may stand in Tables II and III: those on the table's own recordings, classes and text."""

import re

from m4ser.evaluation.paper.published import published
from m4ser.evaluation.report.runs import Group
from m4ser.model.configuration_m4ser import MODALITIES

IMPROVISED = "improvised"  # the protocol that leaves the scripted recordings out


def is_on(group: Group, corpus: str) -> bool:
    """Tell whether a group was tested on recordings of a corpus, be they a part of its dataset only.

    By the ids that the corpus's builder gives them; where there are no predictions, a word of the dataset's name.
    """
    tested = _tested(group)
    if tested:
        return any(re.search(published()["corpora"][corpus]["ids"], name) for name in tested)
    return corpus.lower() in re.split(r"[^a-z0-9]+", group.corpus.lower())


def reasons_against(group: Group, corpus: str) -> list[str]:
    """Return why a group on a corpus must not stand beside its published systems; none where it may."""
    expected, config = published()["corpora"][corpus], group.first.results["config"]
    data, tested = config["data"], _tested(group)
    reasons = []
    if not tested:
        reasons.append("no predictions.csv, which names the recordings that were tested")
    elif not all(re.fullmatch(expected["ids"], name) for name in tested):
        reasons.append(f"the dataset {group.corpus} is not {corpus} alone")
    elif not all(re.fullmatch(expected["tested"], name) for name in tested) or group.protocol == IMPROVISED:
        reasons.append("other recordings are tested")
    if sorted(group.labels) != sorted(expected["labels"]):
        reasons.append(f"its {len(group.labels)} classes are not the table's {len(expected['labels'])}")
    if data.get("shots"):
        reasons.append(f"trained on {data['shots']} recordings an emotion")
    if "model" not in config:
        return [*reasons, "no network"]
    modalities = (config["model"].get("config") or {}).get("modalities", MODALITIES)
    if "speech" not in modalities:
        reasons.append("text only")
    elif "text" in modalities and data.get("text_column") != "hypothesis":
        reasons.append("human transcripts instead of ASR hypotheses")
    return reasons


def _tested(group: Group) -> list[str]:
    """Return the ids of the tested recordings of all runs; none where a run has no predictions."""
    found = [run.predictions for run in group.runs]
    return [] if None in found else [name for predictions in found for name in predictions or ()]
