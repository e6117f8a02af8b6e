"""The whole report: what any run has (`m4ser.evaluation.report`), and the paper's tables and figures beside it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from m4ser.evaluation.paper import figures as paper_figures
from m4ser.evaluation.paper.representation_figures import representations
from m4ser.evaluation.paper.systems_table import systems_table
from m4ser.evaluation.paper.tables import CORPORA, TABLES, system_table, transfer_table
from m4ser.evaluation.report import figures, result_tables
from m4ser.evaluation.report.figures import Plot
from m4ser.evaluation.report.page import by_corpus, write_page
from m4ser.evaluation.report.robustness_results import robustness_tables, word_errors
from m4ser.evaluation.report.runs import Group, find_runs
from m4ser.evaluation.report.speakers import Speakers, known_speakers
from m4ser.evaluation.report.table import Table

Corpora = Mapping[str, Sequence[Group]]


def write_report(runs: Sequence[str | Path], output_dir: str | Path, datasets: Iterable[str | Path] = ()) -> Path:
    """Write report.html, report.md, report.csv and figures/ into `output_dir`; return report.html's path.

    The same runs give the same bytes.

    Args:
        runs: folders of finished runs, or folders of such folders.
        datasets: of those corpora on which the representations are drawn, too (Figs. 9 to 11, Table VII), and the
            speakers are known, by whom intervals and tests of UA are then made.

    Raises:
        ValueError: naming a run that is missing, unfinished or malformed, a dataset that no run was tested on, or
            where the report extra is not installed.
    """
    groups, unfinished = find_runs(runs)
    corpora = by_corpus(groups)
    drawn: list[Plot] = []
    compared: list[Table] = []
    speakers: dict[str, Speakers | None] = {}
    for dataset in datasets:
        corpus = Path(dataset).name
        if corpus not in corpora:
            raise ValueError(f"No run given was tested on {dataset}; theirs are {', '.join(corpora)}.")
        further = representations(corpora[corpus], dataset)
        drawn += further[0]
        compared += further[1]
        speakers[corpus] = known_speakers(corpora[corpus], dataset)
    tables, plots = all_tables(corpora, speakers), all_plots(corpora)
    return write_page(output_dir, groups, unfinished, tables + compared, plots + drawn)


def all_tables(corpora: Corpora, speakers: Mapping[str, Speakers | None] | None = None) -> list[Table]:
    """Return every table that the runs' own files can fill, in the order of the report: all runs come first.

    Args:
        speakers: of each corpus whose speakers are known.
    """
    known = speakers or {}
    groups = [group for members in corpora.values() for group in members]
    every = [result_tables.all_results_table(corpora)] if len(corpora) > 1 else []  # one corpus's table is the whole
    own = [table for pair in corpora.items() for table in _corpus_tables(*pair, known.get(pair[0]))]
    field = [table for pair in corpora.items() if (table := systems_table(*pair, known.get(pair[0]))) is not None]
    systems = [*field, *(system_table(number, groups) for number in CORPORA)]
    paper = [make(*pair) for pair in corpora.items() for make in TABLES]
    paper = [table for table in paper if not table.is_published_only]  # the same published rows for each corpus
    transfer = [transfer_table(number, groups) for number in ("VIII", "IX")]
    return [*every, *own, *systems, *paper, *transfer, *robustness_tables(corpora)]


def _corpus_tables(corpus: str, groups: Sequence[Group], speakers: Speakers | None) -> list[Table]:
    compared = [result_tables.comparison_table(corpus, groups, speakers)] if len(groups) > 1 else []
    results = result_tables.results_table(corpus, groups, speakers)
    return [results, *compared, result_tables.protocol_table(corpus, groups)]


def all_plots(corpora: Corpora) -> list[Plot]:
    """Return every figure that the runs' own files can fill, in the order of the paper, and then ours."""
    groups = [group for members in corpora.values() for group in members]
    plots: list[Plot | None] = [paper_figures.label_counts(groups)]
    plots += [paper_figures.sensitivity(*pair) for pair in corpora.items()]
    plots += [_numbered(8, figures.losses(group)) for group in groups if group.is_network]
    plots += [_numbered(12, figures.confusion(*pair)) for pair in corpora.items()]
    plots += [word_errors(*pair) for pair in corpora.items()]
    return [plot for plot in plots if plot is not None]


def _numbered(number: int, plot: Plot | None) -> Plot | None:
    """Give a figure that the paper has, too, the paper's number."""
    return plot and replace(plot, key=f"fig{number}-{plot.key}", title=f"Fig. {number}: {plot.title}")
