"""What the site needs beyond Markdown: equations without a script, and the options of the commands."""

import dataclasses
import re
from typing import Any

from latex2mathml.converter import convert


def on_config(config: Any) -> Any:
    """Add the fence ```math to the Markdown of the site; browsers draw MathML, and GitHub draws the same fences."""
    fences = config.mdx_configs.setdefault("pymdownx.superfences", {}).setdefault("custom_fences", [])
    fences.append({"name": "math", "class": "equation", "format": equation})
    return config


def equation(source: str, *_: Any, **__: Any) -> str:
    """Return a fence's equation as MathML."""
    return f'<div class="equation">{convert(source, display="block")}</div>'


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put the options where a page has a line for them."""
    for mark, options in (("<!-- commands -->", commands), ("<!-- training options -->", training_options)):
        if mark in markdown:
            markdown = markdown.replace(mark, options())
    return markdown


def commands() -> str:
    """Return the help of every command, as typer writes it."""
    import typer
    from typer.cli import get_docs_for_click

    from m4ser_cli import app

    command = typer.main.get_command(app)
    text = get_docs_for_click(obj=command, ctx=typer.Context(command), name="m4ser")
    return text[text.index("\n## ") :].replace("```console", "```text")


def training_options() -> str:
    """Return a table of the arguments of training, with their defaults and help."""
    from m4ser.training import arguments

    kinds = (arguments.ModelArguments, arguments.DataArguments, arguments.ObjectiveArguments)
    lines = ["| option | default | |", "|---|---|---|"]
    for field in (field for kind in (*kinds, arguments.TrainingArguments) for field in dataclasses.fields(kind)):
        text = field.metadata.get("help", "").replace("%%", "%").replace("|", "\\|")
        has_default = field.default not in (dataclasses.MISSING, None, "")
        lines.append(f"| `--{field.name}` | {f'`{field.default}`' if has_default else ''} | {text} |")
    return "\n".join(lines)


def on_page_content(html: str, **_: Any) -> str:
    """Take the marks out of (`str`, *optional*) and [`Name`], which transformers' own site would resolve."""
    html = re.sub(r"<code>(`[^<]*|[^<]*\*optional\*[^<]*)</code>", lambda found: without_marks(found[0]), html)
    return re.sub(r"\[(<code>[\w.]+</code>)\]", r"\1", html)


def without_marks(html: str) -> str:
    """Return a type without backticks and asterisks."""
    return re.sub("[`*]", "", html)
