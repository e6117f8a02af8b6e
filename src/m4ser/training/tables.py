"""The rows of a table of the paper, trained one after the other: finished ones are kept, a cut one resumes."""

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import Any

import yaml

from m4ser.model.configuration_m4ser import M4SERConfig
from m4ser.systems import SYSTEMS
from m4ser.training.arguments import MAPPINGS, Arguments, parse_arguments
from m4ser.training.config_files import config_file
from m4ser.training.runs import train_groups

ROW_NAME = re.compile(r"[\w.+-]+")
EACH_SYSTEM = "{system}"


def train_table(table: str | Path, argv: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Train every row of [`rows`], and share the work with others of the same table; yield its name and summary.

    Raises:
        ValueError: as of `rows`, before anything is trained, and of `train_groups`.
    """
    yield from train_groups(rows(table, argv))


def rows(table: str | Path, argv: Sequence[str]) -> dict[str, Arguments]:
    """Read a table's file on top of `[CONFIG.yaml ...] [--name value ...]`, as `train.py` takes them.

    A table maps a row's name to what is typed on top of that: config files, which lie relative to the table, and
    options. A row is trained in the folder of its name below the output folder, so that tables with one output folder
    share their rows. One that would be trained exactly as a row before it is left out. A row with {system} in its name
    stands for one of each system besides M4SER, but for those that the table names; it may have {system} in what it
    adds, too.

    Returns:
        {row: its `Arguments`}.

    Raises:
        ValueError: no such table or config file, a row that cannot be read, or an option that a row changes.
    """
    files, options = _split(argv)
    table = config_file(table)
    found: dict[str, Arguments] = {}
    for name, additions in read_table(table).items():
        try:
            configs, changes = _split(shlex.split(additions or ""))
            configs = [str(table.parent / config) for config in configs]
            arguments = parse_arguments([*files, *configs, *options, *changes])
            _check_free(options, configs, changes)
        except ValueError as error:
            raise ValueError(f"{table}, row {name}: {error}") from error
        folder = str(Path(arguments.training.output_dir) / name)
        row = replace(arguments, training=replace(arguments.training, output_dir=folder))
        if _identity(row) not in map(_identity, found.values()):
            found[name] = row
    return found


def read_table(path: Path) -> dict[str, str | None]:
    """Return what each row of a table's file adds, by its name."""
    if not path.is_file():
        raise ValueError(f"There is no table {path}; the paper's are in configs/tables.")
    table = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not table or not isinstance(table, dict) or not all(isinstance(row, str | None) for row in table.values()):
        raise ValueError(
            f"{path} is no table: it maps each row's name to options and config files, such as --adversarial_weight 0."
        )
    if strange := [name for name in table if not ROW_NAME.fullmatch(str(name).replace(EACH_SYSTEM, "system"))]:
        raise ValueError(f"{path}: a row's name is that of its folder, letters, digits and . + - _; not {strange[0]}.")
    expanded = dict(pair for name, additions in table.items() for pair in _expand(str(name), additions))
    return expanded | {name: additions for name, additions in table.items() if name in expanded}


def _expand(name: str, additions: str | None) -> Iterator[tuple[str, str | None]]:
    """Yield a row, or one for each system where its name holds `EACH_SYSTEM`."""
    if EACH_SYSTEM not in name:
        yield name, additions
        return
    for system in SYSTEMS:
        if system != M4SERConfig.model_type:
            yield name.replace(EACH_SYSTEM, system), additions and additions.replace(EACH_SYSTEM, system)


def _split(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the files, and the options after them."""
    files = list(takewhile(lambda word: not word.startswith("-"), words))
    return files, list(words[len(files) :])


def _check_free(options: Sequence[str], configs: Sequence[str], changes: Sequence[str]) -> None:
    """Refuse an option on the command line that would undo what makes the row."""
    made_of = _names(changes).union(*(yaml.safe_load(Path(config).read_text()) for config in configs))
    if undone := sorted(_names(options) & made_of - set(MAPPINGS)):
        raise ValueError(f"the row sets {undone[0]} itself; leave --{undone[0]} out.")


def _names(options: Sequence[str]) -> set[str]:
    words = [word[2:].partition("=")[0] for word in options if word.startswith("--")]
    return {word.replace("-", "_") for word in words}


def _identity(arguments: Arguments) -> dict[str, Any]:
    """Return all that a row is trained by, wherever it is written and whatever it is called."""
    training = replace(arguments.training, output_dir="any", name=None)
    return replace(arguments, training=training).as_dict()
