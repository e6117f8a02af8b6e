"""The lowest versions that pyproject.toml names are those that `make test-minimum` installs."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
# Their extras, demo, tracking, browser and docs, are installed by what is not tested with the lowest versions.
UNTESTED = {"gradio", "trackio", "playwright", "mkdocs", "latex2mathml", "mkdocs-material", "mkdocstrings"}


def normalized(pairs):
    return {name.lower().replace("_", "-"): version for name, version in pairs}


def test_constraints_are_the_lower_bounds():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    requirements = text[text.index("\ndependencies = [") : text.index("\n[project.scripts]")]
    found = re.findall(r'"([\w-]+)(?:\[\w+\])?>=([\d.]+)"', requirements)
    bounds = normalized(found)
    assert bounds == normalized(reversed(found)), "a package has two lower bounds"
    lines = (ROOT / "constraints-minimum.txt").read_text(encoding="utf-8").splitlines()
    pinned = normalized(line.split("==") for line in lines if not line.startswith("#"))
    assert pinned.keys() == bounds.keys() - UNTESTED
    # A bound may leave out zeros at the end of a version, and the day of stubs.
    assert not {name: version for name, version in pinned.items() if not f"{version}.".startswith(f"{bounds[name]}.")}
