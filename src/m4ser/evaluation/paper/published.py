"""The paper's own numbers, from published.yaml beside this file."""

from functools import cache
from importlib import resources
from typing import Any

import yaml


@cache
def published() -> dict[str, Any]:
    """Read published.yaml: "II" to "IX" for the tables, "6" for the counts of Fig. 6."""
    return yaml.safe_load((resources.files(__package__) / "published.yaml").read_text(encoding="utf-8"))
