"""The house's conventions that a machine can check: lengths, annotations, and the field's words."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
CODE = sorted(
    path
    for name in ("src", "tests", "benchmarks", "experiments", "datasets_builders", "hub_scripts")
    for path in (ROOT / name).rglob("*.py")
)
PROSE = [
    *SOURCES,
    *(ROOT / "src").rglob("*.jinja"),
    *(ROOT / "configs").rglob("*.yaml"),
    *(ROOT / "docs").rglob("*.md"),
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "model_card.md", "train.py")),
]
MOST_LINES, LONGEST_FUNCTION, FEWEST_ANNOTATED = 400, 60, 0.95
ANNOTATED_ROOMS = ("model", "systems", "losses", "training", "inference", "evaluation", "asr", "hub")
# Words of our own that readers of the field would have to translate, and British spellings.
WORDS = (
    r"hear|hears|heard|hearing|misheard|listen\w*|asks?|asked|answer\w*|told|strangers?|recogni[sz]ers?",
    r"rivals?|contestants?|stand_ins|honesty|own_tables|demands?|swapped|overview|place",
    r"speech_to_text|text_to_speech|CrossAttention|retained_tags|spaces_loss|global_means|lambda_|FREE_TO_CHANGE",
    r"_whole|_stretches|_say_once|may_pass_on|find_below|cells?",
    r"data sets?|licence[ds]?|\w*normalis\w*|recognis\w*|minimis\w*|maximis\w*|quantis\w*|colours?",
    r"centre[ds]?|behaviour|labelled|travell\w+|favour\w*|summaris\w*|initialis\w*|regularis\w*|organis\w*",
)
PATTERN = re.compile(rf"(?<![\w.])(?:{'|'.join(WORDS)})(?!\w)", re.IGNORECASE)
# The example of what a table of spellings does.
ALLOWED = re.compile(r'"colour"')


def functions(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(ROOT)))
def test_lengths(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES
    long = [node.name for node in functions(path) if node.end_lineno - node.lineno >= LONGEST_FUNCTION]
    assert not long


def is_annotated(node):
    given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    given = [argument for argument in given if argument.arg not in ("self", "cls")]
    return all(argument.annotation for argument in given) and (node.returns is not None or node.name == "__init__")


def in_annotated_rooms(path):
    return bool({part.removesuffix(".py") for part in path.relative_to(ROOT / "src").parts} & set(ANNOTATED_ROOMS))


def test_public_functions_are_annotated():
    public = [
        (path, node)
        for path in filter(in_annotated_rooms, SOURCES)
        for node in functions(path)
        if not node.name.startswith("_") or node.name == "__init__"
    ]
    missing = [f"{path.relative_to(ROOT)}: {node.name}" for path, node in public if not is_annotated(node)]
    assert len(missing) <= (1 - FEWEST_ANNOTATED) * len(public), missing


@pytest.mark.parametrize("path", PROSE, ids=lambda path: str(path.relative_to(ROOT)))
def test_words_are_the_fields(path):
    lines = enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
    found = [f"{number}: {line.strip()}" for number, line in lines if PATTERN.search(ALLOWED.sub("", line))]
    assert not found


def test_docstrings_are_imperative():
    """None begins with "What"."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    assert not [
        f"{path.relative_to(ROOT)}: {getattr(node, 'name', 'module')}"
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, documented) and (ast.get_docstring(node) or "").startswith("What ")
    ]
