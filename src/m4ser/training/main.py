"""The command of training: one run, the folds and seeds of an experiment, or every row of a table."""

import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from accelerate import PartialState

from m4ser.processes import disconnect, fail, fail_when_terminated, is_lost_connection
from m4ser.progress import hide_bars_of_libraries
from m4ser.training.arguments import parse_arguments
from m4ser.training.runs import train_all, train_one
from m4ser.training.tables import train_table

TEST = "test"
NO_TEST = " (chosen on these recordings; the dataset has no test split)"
LOST_PROCESS = "another process of this training, or its launcher, has ended"
GO_ON = "the same command with --resume true goes on from the last checkpoint."
INTERRUPTED = 128 + signal.SIGINT
TABLE, DEBUG = "--table", "--debug"
COMMAND = "m4ser train"


def main(argv: Sequence[str]) -> None:
    """Run `[--table TABLE.yaml] [CONFIG.yaml ...] [--name value ...]`.

    A mistake, what the system refuses, such as to write to a folder, and the end of another process of the training
    are one sentence and exit code 1; with --debug the traceback. So is Ctrl-C, with exit code 130.
    """
    debug, program = DEBUG in argv, _program()
    fail_when_terminated(f"{program}: {LOST_PROCESS}; {GO_ON}")
    hide_bars_of_libraries()
    try:
        table, argv = _take_table([word for word in argv if word != DEBUG])
        if table is None or {"-h", "--help"} & set(argv):
            train_experiment(argv)
        else:
            train_rows(table, argv)
    except (ValueError, OSError) as error:
        if debug:
            raise
        fail(f"{program}: {' '.join(str(error).split())}")
    except RuntimeError as error:
        if debug or not is_lost_connection(error):
            raise
        fail(f"{program}: {LOST_PROCESS}; {GO_ON}")
    except KeyboardInterrupt as interrupt:
        fail(f"{program}: {': '.join(['interrupted', *map(str, interrupt.args)])}; {GO_ON}", INTERRUPTED)
    disconnect()


def _program() -> str:
    """Return what was typed: m4ser_cli sets the name of its command."""
    return COMMAND if sys.argv[0] == COMMAND else "train.py"


def train_experiment(argv: Sequence[str]) -> None:
    """Train one run, or each fold and seed that the arguments name."""
    arguments = parse_arguments(argv)
    if arguments.data.fold == "all" or arguments.training.seeds:
        _print_once(describe_summary(train_all(arguments)))
    else:
        split, scores = _last_split(train_one(arguments))
        figures = f"WA {scores['weighted_accuracy']:.3f}, UA {scores['unweighted_accuracy']:.3f}, n {scores['n']}"
        _print_once(f"{split} {figures}{'' if split == TEST else NO_TEST}")


def train_rows(table: str, argv: Sequence[str]) -> None:
    """Train every row of a table, each in a folder of its name."""
    for name, summary in train_table(table, argv):
        _print_once(f"{name}: {describe_summary(summary)}")
        folder = Path(summary["config"]["training"]["output_dir"]).parent
    _print_once(f"Next: m4ser report {folder} --output_dir report")


def describe_summary(summary: Mapping[str, Any]) -> str:
    """Return the test scores of several runs in one line, without a test split those of validation."""
    split, scores = _last_split(summary)
    shown = {"WA": scores["weighted_accuracy"], "UA": scores["unweighted_accuracy"]}
    figures = (f"{name} {value['mean']:.3f} ± {value['standard_deviation']:.3f}" for name, value in shown.items())
    runs = f"mean and standard deviation of {len(summary['runs'])} runs"
    return f"{split} {', '.join(figures)}, {runs}{'' if split == TEST else NO_TEST}"


def _last_split(results: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Return the split that counts, with its scores: test, or validation where nothing is tested."""
    splits = results["splits"]
    return (TEST, splits[TEST]) if TEST in splits else ("validation", splits["validation"])


def _take_table(argv: Sequence[str]) -> tuple[str | None, list[str]]:
    """Return the file of --table, if there is one, and the other arguments."""
    argv = list(argv)
    for index, word in enumerate(argv):
        name, _, value = word.partition("=")
        if name == TABLE:
            given = [value] if value else argv[index + 1 : index + 2]
            if not given:
                raise ValueError("--table needs a file, such as configs/tables/table_4.yaml.")
            return given[0], argv[:index] + argv[index + (1 if value else 2) :]
    return None, argv


def _print_once(text: str) -> None:
    PartialState().print(text)  # by one of several processes
