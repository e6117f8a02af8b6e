"""The systems of the field on one corpus: measured here under one protocol, beside what their publications report."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

from m4ser.evaluation.paper.published import published
from m4ser.evaluation.report.runs import Group
from m4ser.evaluation.report.speakers import Speakers, clusters
from m4ser.evaluation.report.table import (
    NOTHING,
    TITLES,
    UA,
    Entry,
    PValue,
    Table,
    aligned,
    intervals,
    runs_text,
    score_entry,
    sources_of,
)
from m4ser.evaluation.report.variants import FULL, VARIANTS
from m4ser.evaluation.significance import holm, permutation_test
from m4ser.model.configuration_m4ser import M4SERConfig
from m4ser.run_folder import MEASURES
from m4ser.systems import PUBLICATIONS
from m4ser.systems.common.publication import FIDELITIES

# The tables of systems, with their corpora and measures.
SYSTEM_TABLES = {"II": ("IEMOCAP", ("WA", "UA")), "III": ("MELD", ("ACC", "W-F1"))}
OUR_CAVEAT = "On IEMOCAP no validation data is named, so that the test session may have chosen the epoch."


@dataclass(frozen=True)
class Origin:
    """A publication in the table: how far the network follows it, its figures in words, and their caveat."""

    fidelity: str
    figures: str
    caveat: str = NOTHING


def systems_table(corpus: str, groups: Sequence[Group], speakers: Speakers | None = None) -> Table | None:
    """Show every network, the best UA first; None where no other system than M4SER is among the groups.

    Each is compared with the best by a permutation test of UA on the recordings of both, and stands beside the figures
    of its publication. Systems that could not be built follow, with the reason.

    Intervals and tests are by speakers where they are known, else by recordings.
    """
    networks = sorted((group for group in groups if group.is_network), key=lambda group: -mean(group.values(UA)))
    if all(system_name(group) == M4SERConfig.model_type for group in networks):
        return None
    best = networks[0]
    rows: list[list[str | Entry]] = []
    for group, chance in zip(networks, _chances(best, networks, speakers), strict=True):
        origin = origin_of(group)
        scores = [score_entry(group, *pair) for pair in zip(MEASURES, intervals(group, speakers), strict=True)]
        difference = None if group is best else 100 * (mean(group.values(UA)) - mean(best.values(UA)))
        rows.append(
            [
                _title(group),
                origin.fidelity,
                runs_text(group),
                *scores,
                Entry(difference, form="{:+.1f}", source=f"{sources_of(group)}, {sources_of(best)}"),
                chance,
                *_costs(group),
                origin.figures,
                origin.caveat,
            ]
        )
    ours = [True] * len(rows)
    for row in omitted_rows():
        nothing = [Entry(None)] * (len(TITLES) + 5)
        rows.append([row["method"], f"not built: {row['omitted']}", NOTHING, *nothing, figures_of([row]), NOTHING])
        ours.append(False)
    columns = ["system", "as its publication", "runs", *TITLES.values(), "UA against the best", "p (UA)"]
    columns += ["parameters (M)", "s a step", "ms a recording", "published", "known of the published figure"]
    notes = _notes(networks, "speaker" if speakers else "recording")
    return Table(f"systems-{corpus}", f"Systems on {corpus}", columns, rows, notes, ours)


def _title(group: Group) -> str:
    """Name a row: another system by its title, ours as the paper's tables do, whatever else by the run's own name."""
    if system_name(group) != M4SERConfig.model_type:
        return group.variant or group.name
    return next((row["method"] for row in _rows("variant", group.variant)), group.name)


def system_name(group: Group) -> str:
    """Return the name that `--system` had."""
    return group.first.results["config"]["model"].get("system", M4SERConfig.model_type)


def origin_of(group: Group) -> Origin:
    """Return what is published of a group's network."""
    name = system_name(group)
    if name == M4SERConfig.model_type:
        figures = figures_of(list(_rows("variant", group.variant))) or _ablation_figures(group.variant)
        return Origin("ours", figures or NOTHING, OUR_CAVEAT if group.variant == VARIANTS[FULL] else NOTHING)
    if name not in PUBLICATIONS:  # somebody's own
        return Origin(NOTHING, NOTHING)
    publication = PUBLICATIONS[name]
    own = "; ".join(_in_words(corpus, values) for corpus, values in publication.figures.items())
    cited = figures_of(list(_rows("system", name)))
    fidelity = f"{publication.fidelity}, {FIDELITIES[publication.fidelity]}"
    return Origin(fidelity, "; ".join(filter(None, (cited, own))) or NOTHING, publication.caveat or NOTHING)


def omitted_rows() -> list[Mapping[str, Any]]:
    """Return the published rows of systems that could not be built."""
    return [row for number in SYSTEM_TABLES for row in published()[number] if "omitted" in row]


def figures_of(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the figures of rows of Tables II and III in words, such as "IEMOCAP WA 78.1, UA 79.8 (GT)"."""
    found = []
    for number, (corpus, measures) in SYSTEM_TABLES.items():
        for row in published()[number]:
            if row in rows:
                text = _in_words(corpus, {name: row[name] for name in measures if row[name] is not None})
                found.append(f"{text} ({row['modality']})")
    return "; ".join(found)


def _rows(key: str, value: str | None) -> Iterator[Mapping[str, Any]]:
    """Yield the rows of Tables II and III that name a system or a variant."""
    for number in SYSTEM_TABLES:
        yield from (row for row in published()[number] if value is not None and row.get(key) == value)


def _ablation_figures(variant: str | None) -> str:
    """Return Table IV's figures of a variant in words."""
    rows = [row for row in published()["IV"] if row["variant"] == variant]
    corpora = [corpus for corpus, _ in SYSTEM_TABLES.values()]
    return "; ".join(_in_words(corpus, row[corpus]) for row in rows for corpus in corpora)


def _in_words(corpus: str, values: Mapping[str, float]) -> str:
    return f"{corpus} {', '.join(f'{name} {value:.1f}' for name, value in values.items())}"


def _chances(best: Group, groups: Sequence[Group], speakers: Speakers | None) -> list[Entry]:
    """Return Holm's p of each group's UA against the best's; nothing where they cannot be compared."""
    tested = {}
    for index, group in enumerate(groups):
        pair = None if group is best else aligned(best, group)
        if pair is not None:
            ids, labels, first, second = pair
            tested[index] = permutation_test(labels, first, second, len(best.labels), clusters(ids, speakers))
    adjusted = dict(zip(tested, holm(list(tested.values())), strict=True))
    sources = [f"{sources_of(best)}, {sources_of(group)}" for group in groups]
    return [
        PValue(adjusted[index], source=sources[index]) if index in adjusted else Entry(None)
        for index in range(len(groups))
    ]


def _costs(group: Group) -> list[Entry]:
    """Return parameters in millions, seconds a step and milliseconds a recording."""
    results, source = [run.results for run in group.runs], sources_of(group)
    parameters = results[0].get("parameters")
    steps = [row["training_seconds"] / row["steps"] for row in results if row.get("steps")]
    recordings = [
        1000 * row["test_seconds"] / row["splits"]["test"]["n"] for row in results if row.get("test_seconds")
    ]
    return [
        Entry(parameters / 1e6 if parameters else None, form="{:.2f}", source=source),
        Entry(mean(steps) if steps else None, form="{:.3f}", source=source),
        Entry(mean(recordings) if recordings else None, source=source),
    ]


def _notes(networks: Sequence[Group], unit: str) -> list[str]:
    hardware = sorted({run.results.get("hardware", NOTHING) for group in networks for run in group.runs})
    return [
        "Per cent; ± is the standard deviation over the runs of a row, [ ] the 95 % bootstrap interval over test "
        f"{unit}s. Sorted by UA as measured here.",
        f"p: permutation test against the best, the predictions of a {unit} exchanged at random 2,000 times; "
        "Holm's, for the number of rows. The best was chosen by the same figures, so that small p flatters it.",
        "As its publication: A, B and C say how far a network follows it; its own protocol and settings are in "
        "its docstring. No published figure is claimed by a network here. Published: GT for human transcripts.",
        "s a step and ms a recording: the trainer's wall time, of a step and of the test split in the trainer's "
        f"batches with decoding, on {'; '.join(hardware)}.",
    ]
