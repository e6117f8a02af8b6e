"""What `m4ser robustness` found, as a table and a figure: from each run's robustness.json."""

import numpy as np

from m4ser.evaluation.report.figures import MARKERS, PALETTE, finished, new_figure, styled
from m4ser.evaluation.report.table import Cell, Table
from m4ser.run_folder import ROBUSTNESS

WER = "WER "


def tested_runs(groups):
    """[(name, run)] of the runs whose robustness was tested."""
    return [(group.name, run) for group in groups for run in group.runs if run.robustness]


def robustness_tables(corpora):
    """Of each corpus: demands met by group, with what chance meets; and scores by what was done to the text.

    Where networks were not tested, a table without rows comes last and names them.
    """
    tested = {corpus: tested_runs(groups) for corpus, groups in corpora.items()}
    tables = [make(*pair) for pair in tested.items() if pair[1] for make in (_checks_table, _texts_table)]
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


def _checks_table(corpus, tested):
    kinds = dict.fromkeys(check["group"] for _, run in tested for check in run.robustness["checks"])
    rows = []
    for kind in kinds:
        cells = []
        for _, run in tested:
            found = [check for check in run.robustness["checks"] if check["group"] == kind]
            judged = [check for check in found if check["passed"] is not None]
            source = (run.folder / ROBUSTNESS).as_posix()
            for what in ("passed", "chance"):
                share = 100 * np.mean([check[what] for check in judged]) if judged else None
                cells.append(Cell(share, form="{:.0f}", source=source))
        rows.append([kind, *cells])
    notes = [
        "Per cent of the demands that are met; by chance: those that answering at random meets, each emotion as "
        "often. Demands and thresholds: Derington et al., Testing Correctness, Fairness, and Robustness of Speech "
        "Emotion Recognition Models; noises, rooms and telephone are synthetic here. The text stays as it is."
    ]
    columns = ["demands", *(column for name, _ in tested for column in (name, "by chance"))]
    return Table(f"robustness-{corpus}", f"Robustness on {corpus}", columns, rows, notes, [True] * len(rows))


def _texts_table(corpus, tested):
    names = list(dict.fromkeys(name for _, run in tested for name in run.robustness["texts"]))
    rows = []
    for text in names:
        cells = []
        for _, run in tested:
            scores = run.robustness["texts"].get(text)
            value = 100 * scores["unweighted_accuracy"] if scores else None
            cells.append(Cell(value, source=(run.folder / ROBUSTNESS).as_posix()))
        rows.append([text, *cells])
    notes = ["UA in per cent. WER: that share of the human text's words was substituted, deleted or inserted after."]
    columns = ["text", *(name for name, _ in tested)]
    return Table(
        f"texts-{corpus}", f"Wrong, missing and foreign texts on {corpus}", columns, rows, notes, [True] * len(rows)
    )


@styled
def word_errors(corpus, groups):
    """UA over the word error rate that was put into the human text; None where no run was tested so."""
    curves = []
    for name, run in tested_runs(groups):
        points = {
            float(text.removeprefix(WER).split()[0]): 100 * scores["unweighted_accuracy"]
            for text, scores in run.robustness["texts"].items()
            if text.startswith(WER)
        }
        if points:
            curves.append((name, run, points))
    if not curves:
        return None
    figure, (axis,) = new_figure(1, width=5.2, height=3)
    for number, (name, _, points) in enumerate(curves):
        style = {"color": PALETTE[number % len(PALETTE)], "marker": MARKERS[number % len(MARKERS)]}
        axis.plot(list(points), list(points.values()), label=name, **style)
    axis.set(xlabel="word error rate put into the human text (%)", ylabel="UA (%)", ylim=(0, 100))
    axis.legend(frameon=False)
    caption = "Test UA as the text gets worse; the voice stays as it is."
    sources = [run.folder / ROBUSTNESS for _, run, _ in curves]
    return finished(figure, f"wer-{corpus}", f"Word errors on {corpus}", caption, sources)
