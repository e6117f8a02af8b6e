"""Tables II to VI, VIII and IX of the paper, with our runs beside its rows."""

import re
from collections.abc import Callable, Sequence
from statistics import mean, stdev

from m4ser.evaluation.paper.comparable import is_on, reasons_against
from m4ser.evaluation.paper.published import published
from m4ser.evaluation.report.runs import PAPER_PROTOCOL, Group, row_groups
from m4ser.evaluation.report.table import F1, NOTHING, TITLES, UA, WA, Entry, Table, runs_text, score_entry, sources_of
from m4ser.run_folder import LATENCY, MEASURES

CORPORA = {"II": "IEMOCAP", "III": "MELD"}
# The folders that datasets_builders/cross_corpus.py writes.
TRANSFER = re.compile(r"(?P<source>.+)-to-(?P<target>.+?)(-(?P<shots>\d+)-shots)?")
DIRECTIONS = {"IE -> ME": ("ACC", "W-F1"), "ME -> IE": ("WA", "UA")}


def system_table(number: str, groups: Sequence[Group]) -> Table:
    """Show Tables II and III: the paper's systems, and our runs on the same recordings, classes and text."""
    corpus = CORPORA[number]
    names = ("WA", "UA") if number == "II" else ("ACC", "W-F1")
    rows: list[list[str | Entry]] = []
    ours: list[bool] = []
    for row in published()[number]:
        entries = [published_entry(row[name], f"Table {number}") for name in names]
        rows.append(
            [row["method"], str(row["year"]), row["modality"], published()["protocols"][row["protocol"]], *entries]
        )
        ours.append(False)
    left_out = []
    for group in groups:
        if not is_on(group, corpus):
            continue
        if reasons := reasons_against(group, corpus):
            left_out.append(f"{group.name} on {group.corpus} ({', '.join(reasons)})")
        else:
            entries = [score_entry(group, measure) for measure in ((WA, UA) if number == "II" else (WA, F1))]
            rows.append([f"ours: {group.name}", "", modality(group), _protocol_text(group), *entries])
            ours.append(True)
    notes = ["Published rows: the paper's text. It does not repeat the protocols of the systems it cites."]
    if left_out:
        notes.append(f"Not comparable, and left out: {'; '.join(left_out)}.")
    if True not in ours:
        notes.append(f"No run given is comparable on {corpus}, so that there are published figures only.")
    columns = ["method", "year", "modality", "protocol", *names]
    return Table(number, f"Table {number}: systems on {corpus}", columns, rows, notes, ours)


def ablation_table(corpus: str, groups: Sequence[Group]) -> Table:
    """Show Table IV: each row as published on both corpora and as measured here."""
    rows: list[list[str | Entry]] = []
    ours: list[bool] = []
    for row in published()["IV"]:
        paper = [
            published_entry(row[on][name], "Table IV")
            for on, name in (("IEMOCAP", "WA"), ("IEMOCAP", "UA"), ("MELD", "ACC"), ("MELD", "W-F1"))
        ]
        for found in _row_groups(groups, row["variant"]):
            mine = [score_entry(found, measure) if found else Entry(None) for measure in MEASURES]
            rows.append([row["method"], *paper, *mine, *_which(found)])
            ours.append(found is not None)
    columns = ["method", "IEMOCAP WA", "IEMOCAP UA", "MELD ACC", "MELD W-F1"]
    columns += [f"{corpus} {title}" for title in TITLES.values()] + ["our protocol", "our run"]
    notes = [
        f"Published: IEMOCAP and MELD. Measured here: {corpus}. A run finds its row by what it was built of.",
        "Only rows of one protocol are comparable: each tests other recordings or chooses the epoch by others.",
    ]
    return Table(f"IV-{corpus}", f"Table IV: ablations, published and on {corpus}", columns, rows, notes, ours)


def cost_table(corpus: str, groups: Sequence[Group]) -> Table:
    """Show Table V: parameters, time of training and of inference."""
    rows: list[list[str | Entry]] = []
    ours: list[bool] = []
    for row in published()["V"]:
        paper = [
            published_entry(row["parameters"], "Table V"),
            published_entry(row["training"], "Table V"),
            Entry(row["inference"], row["spread"], source=f"{published()['paper']}, Table V"),
        ]
        for found in _row_groups(groups, row["variant"]):
            unknown: list[str | Entry] = [*[Entry(None)] * 3, NOTHING, NOTHING]
            rows.append([row["method"], *paper, *(_cost_entries(found) if found else unknown)])
            ours.append(found is not None)
    columns = ["model", "paper: parameters (M)", "paper: training (h)", "paper: inference (ms)"]
    columns += ["parameters (M)", "training (h)", "inference (ms)", "hardware", "our run"]
    notes = [
        "Published: IEMOCAP, 100 epochs, one Tesla V100; inference an utterance. Ours: "
        f"{corpus}, the run's own epochs and hardware, its discriminator not counted.",
        "Training (h) is our runs' wall time, loading, validation and saving included.",
    ]
    if any("training_seconds" not in run.results for group in groups for run in group.runs):
        notes.append("Of runs whose results.json has no training_seconds, it is the time in training steps alone.")
    if not any(run.latency for group in groups for run in group.runs):
        notes.append("No inference time of ours: m4ser latency RUN --dataset DATA measures it.")
    return Table(f"V-{corpus}", f"Table V: cost, published and on {corpus}", columns, rows, notes, ours)


def text_table(corpus: str, groups: Sequence[Group]) -> Table:
    """Show Table VI: the ASR hypothesis or the human transcript."""
    rows: list[list[str | Entry]] = []
    ours: list[bool] = []
    for row in published()["VI"]:
        paper = [published_entry(row[name], "Table VI") for name in ("WA", "UA")]
        for found in _row_groups(groups, row["variant"]):
            mine = [score_entry(found, measure) if found else Entry(None) for measure in (WA, UA)]
            rows.append([row["method"], row["modality"], *paper, *mine, *_which(found)])
            ours.append(found is not None)
    columns = ["method", "modality", "IEMOCAP WA", "IEMOCAP UA", f"{corpus} WA", f"{corpus} UA"]
    columns += ["our protocol", "our run"]
    notes = ["With human text (GT), error detection and correction are off, as in the paper."]
    return Table(f"VI-{corpus}", f"Table VI: human text or ASR, published and on {corpus}", columns, rows, notes, ours)


def transfer_table(number: str, groups: Sequence[Group]) -> Table:
    """Show Tables VIII and IX: trained on one corpus, tested on another, without and with shots of it."""
    rows: list[list[str | Entry]] = []
    ours: list[bool] = []
    for row in published()[number]:
        shots = [str(row["shots"])] if number == "IX" else []
        entries = [
            published_entry(row[way][name], f"Table {number}") for way, names in DIRECTIONS.items() for name in names
        ]
        rows.append([row["method"], *shots, *entries, *[Entry(None)] * 3, ""])
        ours.append(False)
    for group in groups:
        found = TRANSFER.fullmatch(group.corpus)
        data, start = (group.first.results["config"].get(name, {}) for name in ("data", "model"))
        drawn = (found and found["shots"]) or data.get("shots")  # by cross_corpus.py, or by train.py
        if found is None or bool(drawn) != (number == "IX"):
            continue
        shots = [str(drawn)] if number == "IX" else []
        scores = [score_entry(group, measure) for measure in MEASURES]
        way = f"{found['source']} -> {found['target']}"
        if data.get("shots"):
            way += ", then the shots" if start.get("init_from") else ", the shots alone"
        rows.append([f"ours: {group.name}", *shots, *[Entry(None)] * 4, *scores, way])
        ours.append(True)
    columns = ["method", *(["shots"] if number == "IX" else [])]
    columns += [f"{way} {name}" for way, names in DIRECTIONS.items() for name in names]
    notes = ["IE: IEMOCAP, ME: MELD, 4 emotions; 30 % of the tested corpus choose the epoch, 70 % are tested."]
    if True not in ours:
        option = "with --shots" if number == "IX" else "without --shots"
        notes.append(f"No run given is on a dataset that datasets_builders/cross_corpus.py built {option}.")
    title = f"Table {number}: {'across corpora' if number == 'VIII' else 'across corpora, from a few recordings'}"
    return Table(number, title, [*columns, *TITLES.values(), "ours, from -> to"], rows, notes, ours)


def published_entry(value: float | None, where: str) -> Entry:
    """Return a number of the paper; `where` names its table."""
    return Entry(value, source=f"{published()['paper']}, {where}")


def modality(group: Group) -> str:
    """Name a group's modalities as Tables II and III do."""
    if group.variant is None:
        return ""
    text = "GT" if group.variant == "human transcripts" else "ASR"
    return {"speech only": "S", "text only": "T(ASR)"}.get(group.variant, f"S+T({text})")


def _row_groups(groups: Sequence[Group], variant: str) -> list[Group | None]:
    """Return the groups of a row of the paper; None where there is none, so that the row is there all the same."""
    return [*row_groups(groups, variant)] or [None]


def _which(group: Group | None) -> list[str | Entry]:
    """Return the protocol and the name of a group that fills a row."""
    return [NOTHING, NOTHING] if group is None else [_protocol_text(group), group.name]


def _cost_entries(group: Group) -> list[str | Entry]:
    runs, source = group.runs, sources_of(group)
    parameters = group.first.results.get("parameters")
    hours = [run.results["seconds"] / 3600 for run in runs]
    timed = [(run.folder / LATENCY, run.latency) for run in runs if run.latency]
    inference = Entry(None)
    if timed:
        inference = Entry(
            mean(found["milliseconds"] for _, found in timed),
            mean(found["spread"] for _, found in timed),
            source=", ".join(path.as_posix() for path, _ in timed),
        )
    return [
        Entry(parameters / 1e6 if parameters else None, form="{:.2f}", source=source),
        Entry(mean(hours), stdev(hours) if len(hours) > 1 else None, form="{:.3f}", source=source),
        inference,
        group.first.results.get("hardware", NOTHING),
        group.name,
    ]


def _protocol_text(group: Group) -> str:
    chosen = ""
    if all(run.keeps_last_epoch for run in group.runs):
        chosen = "; last epoch"
    elif group.protocol == PAPER_PROTOCOL:
        chosen = "; epoch chosen on the test data"
    return f"{group.protocol}, {runs_text(group)}{chosen}"


# Of each corpus, in the order of the paper.
TABLES: tuple[Callable[[str, Sequence[Group]], Table], ...] = (ablation_table, cost_table, text_table)
