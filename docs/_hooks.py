"""Equations as MathML when the site is built: browsers draw it without a script, and GitHub draws the same fences."""

from typing import Any

from latex2mathml.converter import convert


def on_config(config: Any) -> Any:
    """Add the fence ```math to the Markdown of the site."""
    fences = config.mdx_configs.setdefault("pymdownx.superfences", {}).setdefault("custom_fences", [])
    fences.append({"name": "math", "class": "equation", "format": equation})
    return config


def equation(source: str, *_: Any, **__: Any) -> str:
    """Return a fence's equation as MathML."""
    return f'<div class="equation">{convert(source, display="block")}</div>'
