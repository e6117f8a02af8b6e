"""The code blocks of the README and the site's pages, as the tests run them."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    *(ROOT / "docs" / f"{name}.md" for name in ("index", "method", "notebooks", "results", "limits")),
    *sorted((ROOT / "docs" / "guides").glob("*.md")),
]
FENCE = re.compile(r'^```(\w*)(?: title="([^"]*)")?\n(.*?)^```$', re.DOTALL | re.MULTILINE)
PROGRAMS = ("accelerate", "m4ser", "make", "pip", "python", "sbatch", "torchrun")


@dataclass(frozen=True)
class Block:
    """A fenced block; its title is the file that it shows."""

    page: str
    language: str
    title: str
    code: str


def blocks(*languages: str) -> list[Block]:
    """Return the blocks in these languages, or all."""
    found = [
        Block(page.relative_to(ROOT).as_posix(), *groups)
        for page in PAGES
        for groups in FENCE.findall(page.read_text(encoding="utf-8"))
    ]
    return [block for block in found if not languages or block.language in languages]


def commands() -> list[str]:
    """Return every command, on one line, without the remark behind it; each once."""
    lines = [line.split(" # ")[0] for block in blocks("bash") for line in block.code.replace("\\\n", "").splitlines()]
    return list(dict.fromkeys(" ".join(line.split()) for line in lines if line.strip()))
