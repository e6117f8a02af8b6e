"""What the site needs beyond Markdown: equations without a script, and the types in docstrings."""

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


def on_page_content(html: str, **_: Any) -> str:
    """Take the marks out of (`str`, *optional*) and [`Name`], which transformers' own site would resolve."""
    html = re.sub(r"<code>(`[^<]*`[^<]*)</code>", lambda found: f"<code>{re.sub('[`*]', '', found[1])}</code>", html)
    return re.sub(r"\[(<code>[\w.]+</code>)\]", r"\1", html)
