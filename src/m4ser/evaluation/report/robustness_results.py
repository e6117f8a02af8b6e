"""The results of `m4ser robustness`, as tables and a figure: from each run's robustness.json."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from m4ser.evaluation.report.figures import MARKERS, PALETTE, Plot, finished, new_figure, styled
from m4ser.evaluation.report.runs import Group, Run
from m4ser.evaluation.report.table import Entry, Table
from m4ser.run_folder import ROBUSTNESS

WER = "WER "
Tested = list[tuple[str, Run, dict[str, Any]]]


def tested_runs(groups: Sequence[Group]) -> Tested:
    """Return (name, run, its robustness) of the runs whose robustness was tested."""
    pairs = [(group.name, run) for group in groups for run in group.runs]
    return [(name, run, run.robustness) for name, run in pairs if run.robustness]


def robustness_tables(corpora: Mapping[str, Sequence[Group]]) -> list[Table]:
    """Show of each corpus the criteria met by group, with what chance meets; and scores by what was done to the text.

    Where networks were not tested, a table without rows comes last and names them.
    """
    tested = {corpus: tested_runs(groups) for corpus, groups in corpora.items()}
    tables = [make(*pair) for pair in tested.items() if pair[1] for make in (_criteria_table, _texts_table)]
    untested = [
        f"{group.name} on {corpus}"
        for corpus, groups in corpora.items()
        for group in groups
        if group.is_network and not tested_runs([group])
    ]
    if untested:
        note = f"m4ser robustness RUN --dataset DATA tests a run; not tested: {', '.join(untested)}."
        tables.append(Table("robustness", "Robustness of the other runs" if tables else "Robustness", [], [], [note]))
    return tables


def _criteria_table(corpus: str, tested: Tested) -> Table:
    kinds = dict.fromkeys(criterion["group"] for _, _, found in tested for criterion in found["criteria"])
    rows: list[list[str | Entry]] = []
    for kind in kinds:
        entries: list[str | Entry] = []
        for _, run, found in tested:
            judged = [item for item in found["criteria"] if item["group"] == kind and item["passed"] is not None]
            source = (run.folder / ROBUSTNESS).as_posix()
            for what in ("passed", "chance"):
                share = 100 * float(np.mean([criterion[what] for criterion in judged])) if judged else None
                entries.append(Entry(share, form="{:.0f}", source=source))
        rows.append([kind, *entries])
    notes = [
        "Per cent of the criteria that are met; by chance: those that random predictions meet, each emotion as often. "
        "Criteria and thresholds: Derington et al., Testing Correctness, Fairness, and Robustness of Speech "
        "Emotion Recognition Models; noises, rooms and telephone are synthetic here. The text stays as it is."
    ]
    columns = ["criteria", *(column for name, _, _ in tested for column in (name, "by chance"))]
    return Table(f"robustness-{corpus}", f"Robustness on {corpus}", columns, rows, notes, [True] * len(rows))


def _texts_table(corpus: str, tested: Tested) -> Table:
    names = list(dict.fromkeys(name for _, _, found in tested for name in found["texts"]))
    rows: list[list[str | Entry]] = []
    for text in names:
        entries: list[str | Entry] = []
        for _, run, found in tested:
            scores = found["texts"].get(text)
            value = 100 * scores["unweighted_accuracy"] if scores else None
            entries.append(Entry(value, source=(run.folder / ROBUSTNESS).as_posix()))
        rows.append([text, *entries])
    notes = ["UA in per cent. WER: that share of the human text's words was substituted, deleted or inserted after."]
    columns = ["text", *(name for name, _, _ in tested)]
    title = f"Wrong, missing and foreign texts on {corpus}"
    return Table(f"texts-{corpus}", title, columns, rows, notes, [True] * len(rows))


@styled
def word_errors(corpus: str, groups: Sequence[Group]) -> Plot | None:
    """Draw UA over the word error rate that was put into the human text; None where no run was tested so."""
    curves = []
    for name, run, found in tested_runs(groups):
        points = {
            float(text.removeprefix(WER).split()[0]): 100 * scores["unweighted_accuracy"]
            for text, scores in found["texts"].items()
            if text.startswith(WER)
        }
        if points:
            curves.append((name, run, points))
    if not curves:
        return None
    figure, (axis,) = new_figure(1, width=5.2, height=3)
    for number, (name, _, points) in enumerate(curves):
        color, marker = PALETTE[number % len(PALETTE)], MARKERS[number % len(MARKERS)]
        axis.plot(list(points), list(points.values()), label=name, color=color, marker=marker)
    axis.set(xlabel="word error rate put into the human text (%)", ylabel="UA (%)", ylim=(0, 100))
    axis.legend(frameon=False)
    caption = "Test UA as the text gets worse; the audio stays as it is."
    sources = [run.folder / ROBUSTNESS for _, run, _ in curves]
    return finished(figure, f"wer-{corpus}", f"Word errors on {corpus}", caption, sources)
