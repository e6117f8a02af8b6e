"""Equations as MathML when the site is built: browsers draw it without a script, and GitHub draws the same fences."""

from html import escape
from typing import Any

from latex2mathml.converter import convert


def on_config(config: Any) -> Any:
    """Add the fence ```math to the Markdown of the site."""
    fences = config.mdx_configs.setdefault("pymdownx.superfences", {}).setdefault("custom_fences", [])
    fences.append({"name": "math", "class": "equation", "format": equations})
    return config


def equations(source: str, *_: Any, **__: Any) -> str:
    """Return the lines of a fence, an equation each, as MathML."""
    lines = (line for line in source.splitlines() if line.strip() not in ("", "\\\\"))
    return "".join(
        f'<div class="equation" role="math" aria-label="{escape(line)}">{convert(line, display="block")}</div>'
        for line in lines
    )
