"""The report as files: one HTML page that holds everything, and the same as Markdown, CSV, SVG and PNG."""

import base64
import csv
import io
import re
from importlib import resources
from pathlib import Path

from jinja2 import Environment

from m4ser.evaluation.paper import tables as paper_tables
from m4ser.evaluation.report import figures, result_tables
from m4ser.evaluation.report.caveats import DEFINITIONS, warnings
from m4ser.evaluation.report.robustness_results import robustness_tables, word_errors
from m4ser.evaluation.report.runs import find_runs
from m4ser.evaluation.report.table import Cell

TITLE = "M4SER: evaluation"
CSV_COLUMNS = ("table", "row", "column", "value", "spread", "low", "high", "source")


def comparison(runs):
    """The runs' scores as Markdown: the first table of the report for each corpus.

    Raises:
        ValueError: naming a run that is missing, unfinished or malformed.
    """
    groups, _ = find_runs(runs)
    return "\n".join(markdown_table(result_tables.results_table(*pair)) for pair in by_corpus(groups).items())


def write_report(runs, output_dir, datasets=()):
    """Write report.html, report.md, report.csv and figures/ into `output_dir`; return report.html's path.

    The same runs give the same bytes.

    Args:
        runs: folders of finished runs, or folders of such folders.
        datasets: of those corpora on which the representations are drawn, too (Figs. 9 to 11, Table VII).

    Raises:
        ValueError: naming a run that is missing, unfinished or malformed, a dataset that no run was tested on, or
            where the report extra is not installed.
    """
    groups, unfinished = find_runs(runs)
    corpora = by_corpus(groups)
    tables, plots = all_tables(corpora), all_plots(corpora)
    for dataset in datasets:
        drawn, compared = _represented(corpora, dataset)
        plots += drawn
        tables += compared
    content = {
        "title": TITLE,
        "definitions": DEFINITIONS,
        "warnings": warnings(groups, unfinished),
        "tables": [*tables, result_tables.runs_table(groups)],
        "plots": [(_slug(number, plot.key), plot) for number, plot in enumerate(plots, start=1)],
    }
    page = render(content)  # before anything is written: a report is there as a whole or not at all
    output_dir = Path(output_dir)
    (output_dir / "figures").mkdir(parents=True, exist_ok=True)
    for name, plot in content["plots"]:
        (output_dir / "figures" / f"{name}.svg").write_bytes(plot.svg)
        (output_dir / "figures" / f"{name}.png").write_bytes(plot.png)
    (output_dir / "report.md").write_text(markdown(content), encoding="utf-8")
    (output_dir / "report.csv").write_text(tidy_csv(content["tables"]), encoding="utf-8", newline="")
    path = output_dir / "report.html"
    path.write_text(page, encoding="utf-8")
    return path


def by_corpus(groups):
    """{name of the corpus: its groups}, in the order given."""
    corpora = {}
    for group in groups:
        corpora.setdefault(group.corpus, []).append(group)
    return corpora


def all_tables(corpora):
    """Every table that the runs' own files can fill, in the order of the report."""
    groups = [group for members in corpora.values() for group in members]
    own = [make(*pair) for pair in corpora.items() for make in result_tables.TABLES]
    systems = [paper_tables.system_table(number, groups) for number in paper_tables.CORPORA]
    paper = [make(*pair) for pair in corpora.items() for make in paper_tables.TABLES]
    transfer = [paper_tables.transfer_table(number, groups) for number in ("VIII", "IX")]
    return [*own, *systems, *paper, *transfer, *robustness_tables(corpora)]


def all_plots(corpora):
    """Every figure that the runs' own files can fill, in the order of the paper, and then ours."""
    plots = [figures.label_counts([group for members in corpora.values() for group in members])]
    plots += [figures.sensitivity(*pair) for pair in corpora.items()]
    plots += [figures.losses(group) for members in corpora.values() for group in members if group.is_network]
    plots += [figures.confusion(*pair) for pair in corpora.items()]
    plots += [word_errors(*pair) for pair in corpora.items()]
    return [plot for plot in plots if plot is not None]


def _represented(corpora, dataset):
    """Plots and tables that need the models; torch is loaded for them alone."""
    from m4ser.evaluation.paper.representation_figures import representations

    corpus = Path(dataset).name
    if corpus not in corpora:
        raise ValueError(f"No run given was tested on {dataset}; theirs are {', '.join(corpora)}.")
    return representations(corpora[corpus], dataset)


def render(content):
    """The HTML page, figures inside."""
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["data_uri"] = lambda svg: f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"
    environment.tests["cell"] = lambda value: isinstance(value, Cell)
    template = (resources.files(__package__) / "page.html.jinja").read_text(encoding="utf-8")
    return environment.from_string(template).render(content)


def markdown(content):
    """The report as Markdown; its figures are the PNG files in figures/."""
    parts = [f"# {content['title']}\n"]
    if content["warnings"]:
        parts.append("## Read this first\n\n" + "\n".join(f"- {text}" for text in content["warnings"]) + "\n")
    parts.append("\n".join(f"- **{name}**: {text}" for name, text in content["definitions"].items()) + "\n")
    for table in content["tables"]:
        parts.append(f"## {table.title}\n\n{markdown_table(table) if table.rows else ''}")
        parts += [f"{note}\n" for note in table.notes]
    for name, plot in content["plots"]:
        sources = ", ".join(plot.sources)
        parts.append(f"## {plot.title}\n\n![{plot.title}](figures/{name}.png)\n\n{plot.caption} From {sources}.\n")
    return "\n".join(parts)


def markdown_table(table):
    rule = [
        "---:" if any(isinstance(row[place], Cell) for row in table.rows) else "---"
        for place in range(len(table.columns))
    ]
    lines = [table.columns, rule, *table.rows]
    return "".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def tidy_csv(found):
    """Every number of every table in a row of its own, unrounded, with the file it comes from."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for table in found:
        for row in table.rows:
            name = " | ".join(cell for cell in row if isinstance(cell, str))
            for column, cell in zip(table.columns, row, strict=True):
                if isinstance(cell, Cell) and cell.value is not None:
                    numbers = (cell.value, cell.spread, cell.low, cell.high)
                    writer.writerow([table.key, name, column, *numbers, cell.source])
    return buffer.getvalue()


def _slug(number, key):
    """A file name: numbered, because two runs in different folders may bear the same name."""
    return f"{number:02d}-" + re.sub(r"[^A-Za-z0-9_.-]+", "-", key).strip("-")
