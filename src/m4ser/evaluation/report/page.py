"""The report as files: one HTML page that holds everything, and the same as Markdown, CSV, SVG and PNG."""

import base64
import csv
import io
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment

from m4ser.escaping import escape_csv, escape_markdown
from m4ser.evaluation.report import result_tables
from m4ser.evaluation.report.caveats import DEFINITIONS, warnings
from m4ser.evaluation.report.figures import Plot
from m4ser.evaluation.report.runs import Group, find_runs
from m4ser.evaluation.report.table import Entry, Table
from m4ser.files import write_whole

TITLE = "M4SER: evaluation"
PUBLISHED_ONLY = "Published rows only"
CSV_COLUMNS = ("table", "row", "column", "value", "spread", "low", "high", "source")


def comparison(runs: Sequence[str | Path]) -> str:
    """Return the runs' scores as Markdown: the first table of the report for each corpus.

    Raises:
        ValueError: naming a run that is missing, unfinished or malformed.
    """
    groups, _ = find_runs(runs)
    return "\n".join(markdown_table(result_tables.results_table(*pair)) for pair in by_corpus(groups).items())


def by_corpus(groups: Sequence[Group]) -> dict[str, list[Group]]:
    """Return {name of the corpus: its groups}, in the order given."""
    corpora: dict[str, list[Group]] = {}
    for group in groups:
        corpora.setdefault(group.corpus, []).append(group)
    return corpora


def write_page(
    output_dir: str | Path,
    groups: Sequence[Group],
    unfinished: Sequence[Path],
    tables: Sequence[Table],
    plots: Sequence[Plot],
) -> Path:
    """Write report.html, report.md, report.csv and figures/ into `output_dir`; return report.html's path.

    The warnings about the runs come first, and the table of where they come from last. The same content gives the same
    bytes.

    Args:
        groups, unfinished: of `find_runs`. tables, plots: in the order of the report.
    """
    content: dict[str, Any] = {
        "title": TITLE,
        "published_only": PUBLISHED_ONLY,
        "definitions": DEFINITIONS,
        "warnings": warnings(groups, unfinished),
        "tables": [*tables, result_tables.runs_table(groups)],
        "plots": [(_slug(number, plot.key), plot) for number, plot in enumerate(plots, start=1)],
    }
    page = render(content)  # before anything is written: a report is there as a whole or not at all
    output_dir = Path(output_dir)
    (output_dir / "figures").mkdir(parents=True, exist_ok=True)
    for name, plot in content["plots"]:
        write_whole(output_dir / "figures" / f"{name}.svg", plot.svg)
        write_whole(output_dir / "figures" / f"{name}.png", plot.png)
    write_whole(output_dir / "report.md", markdown(content))
    write_whole(output_dir / "report.csv", tidy_csv(content["tables"]))
    path = output_dir / "report.html"
    write_whole(path, page)
    return path


def render(content: Mapping[str, Any]) -> str:
    """Return the HTML page, figures inside."""
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["data_uri"] = lambda svg: f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"
    environment.tests["entry"] = lambda value: isinstance(value, Entry)
    template = (resources.files(__package__) / "page.html.jinja").read_text(encoding="utf-8")
    return environment.from_string(template).render(content)


def markdown(content: Mapping[str, Any]) -> str:
    """Return the report as Markdown; its figures are the PNG files in figures/."""
    parts = [f"# {content['title']}\n"]
    if content["warnings"]:
        read_first = "\n".join(f"- {escape_markdown(text)}" for text in content["warnings"])
        parts.append(f"## Read this first\n\n{read_first}\n")
    parts.append("\n".join(f"- **{name}**: {text}" for name, text in content["definitions"].items()) + "\n")
    for table in content["tables"]:
        notes = [f"{escape_markdown(note)}\n" for note in table.notes]
        body = "\n".join([markdown_table(table) if table.rows else "", *notes])
        if table.is_published_only:
            body = f"<details><summary>{PUBLISHED_ONLY}</summary>\n\n{body}\n</details>\n"
        parts.append(f"## {escape_markdown(table.title)}\n\n{body}")
    for name, plot in content["plots"]:
        title, text = escape_markdown(plot.title), escape_markdown(f"{plot.caption} From {', '.join(plot.sources)}.")
        parts.append(f"## {title}\n\n![{title}](figures/{name}.png)\n\n{text}\n")
    return "\n".join(parts)


def markdown_table(table: Table) -> str:
    """Return a table as Markdown, columns of numbers on the right."""
    rule = [
        "---:" if any(isinstance(row[index], Entry) for row in table.rows) else "---"
        for index in range(len(table.columns))
    ]
    lines: list[Sequence[str | Entry]] = [table.columns, rule, *table.rows]
    escaped = [[escape_markdown(entry) if isinstance(entry, str) else str(entry) for entry in line] for line in lines]
    return "".join(f"| {' | '.join(line)} |\n" for line in escaped)


def tidy_csv(tables: Sequence[Table]) -> str:
    """Return every number of every table in a row of its own, unrounded, with the file it comes from."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for table in tables:
        for row in table.rows:
            name = " | ".join(entry for entry in row if isinstance(entry, str))
            for column, entry in zip(table.columns, row, strict=True):
                if isinstance(entry, Entry) and entry.value is not None:
                    numbers = (entry.value, entry.spread, entry.low, entry.high)
                    writer.writerow(map(escape_csv, [table.key, name, column, *numbers, entry.source]))
    return buffer.getvalue()


def _slug(number: int, key: str) -> str:
    """Return a file name: numbered, because two runs in different folders may bear the same name."""
    return f"{number:02d}-" + re.sub(r"[^A-Za-z0-9_.-]+", "-", key).strip("-")
