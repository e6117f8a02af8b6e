"""The corpora that can be built, a file each: `m4ser build NAME`, or `python datasets_builders/NAME.py`."""

import sys
from collections.abc import Sequence
from importlib import import_module
from pkgutil import iter_modules

from m4ser.data.builders.builder_cli import run
from m4ser.data.schema import DataError

NAMES = sorted(module.name for module in iter_modules(__path__))


def build(arguments: Sequence[str]) -> None:
    """Run the builder that the first argument names, with the others.

    Raises:
        DataError: there is no such builder.
    """
    name, *options = arguments or ("--help",)
    if name in ("--help", "-h"):
        print(f"Usage: m4ser build NAME ...\n\nNAME is {', '.join(NAMES)}; each has --help.")
        return
    if name not in NAMES:
        raise DataError(f"There is no builder {name!r}: choose from {', '.join(NAMES)}.")
    module = import_module(f"{__name__}.{name}")
    sys.argv = [f"m4ser build {name}", *options]
    run(module.main)
