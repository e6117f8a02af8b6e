"""What the site needs beyond Markdown: equations without a script, the options of the commands, and the notebooks."""

import contextlib
import dataclasses
import io
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.structure.files import File

NOTEBOOKS = Path(__file__).parents[1] / "examples"


def on_config(config: Any) -> Any:
    """Add the fence ```math to the Markdown of the site; browsers draw MathML, and GitHub draws the same fences."""
    fences = config.mdx_configs.setdefault("pymdownx.superfences", {}).setdefault("custom_fences", [])
    fences.append({"name": "math", "class": "equation", "format": equation})
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the notebooks, which are beside the pages' folder."""
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        files.append(File.generated(config, f"examples/{path.name}", abs_src_path=str(path)))
    return files


def equation(source: str, *_: Any, **__: Any) -> str:
    """Return a fence's equation as MathML."""
    return f'<div class="equation">{convert(source, display="block")}</div>'


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put the options where a page has a line for them, and have links to the notebooks lead to the site's copies."""
    markdown = markdown.replace("](../examples/", "](examples/")
    for mark, options in (("<!-- commands -->", commands), ("<!-- training options -->", training_options)):
        if mark in markdown:
            markdown = markdown.replace(mark, options())
    return markdown


def commands() -> str:
    """Return the help of every command, as typer writes it, or the command's own parser."""
    import typer
    from typer.cli import get_docs_for_click

    from m4ser.asr.command import main as transcribe
    from m4ser.corpora import build
    from m4ser_cli import app

    command = typer.main.get_command(app)
    text = get_docs_for_click(obj=command, ctx=typer.Context(command), name="m4ser")
    text = text[text.index("**Options**") :].replace("```console", "```text")
    text = re.sub(r"\*\*Commands\*\*:.*?(?=\n## )", "", text, flags=re.DOTALL)
    own_help = {
        "build": "Of `m4ser build manifest`:\n\n" + printed_help(build, ["manifest", "--help"]),
        "transcribe": printed_help(transcribe, ["--help"]),
        "train": "Its options are [a page of their own](training.md#options).\n",
    }
    for name, shown in own_help.items():
        pattern = rf"(## `m4ser {name}`\n\n[^\n]*\n\n).*?(?=\n## |\Z)"
        text, found = re.subn(pattern, lambda match, shown=shown: match[1] + shown, text, flags=re.DOTALL)
        assert found == 1, f"m4ser {name} is not in the help"
    return text


def printed_help(main: Callable[[Sequence[str]], Any], arguments: Sequence[str]) -> str:
    """Return what a parser prints for --help, from its options on, as a block."""
    with contextlib.redirect_stdout(io.StringIO()) as printed, contextlib.suppress(SystemExit):
        main(arguments)
    text = printed.getvalue()
    return f"```text\n{text[text.index('options:') :].rstrip()}\n```\n"


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
    """Take out the marks of (`str`, *optional*) and [`Name`], which are for transformers' own site; join options."""
    html = re.sub(r"<code>(`[^<]*|[^<]*\*optional\*[^<]*)</code>", lambda found: without_marks(found[0]), html)
    html = re.sub(r"\[(<code>[\w.]+</code>)\]", r"\1", html)
    return re.sub(r"<code>[^<]*--[^<]*</code>", lambda found: unbroken_options(found[0]), html)


def unbroken_options(html: str) -> str:
    """Return code within a line whose options are not cut at their hyphens."""
    return re.sub(r"(?<![\w-])--[a-z][\w-]*", r'<span class="option">\g<0></span>', html)


def without_marks(html: str) -> str:
    """Return a type without backticks and asterisks."""
    return re.sub("[`*]", "", html)
