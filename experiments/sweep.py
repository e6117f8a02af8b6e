"""Where does each part of M4SER pay? One factor at a time, on the synthetic corpus, whose ceilings are known.

    python -m experiments.sweep --output_dir runs/sweep

Around a base setting it changes the word error rate, the share of cues that are lost (`m4ser.data.synthetic`), and the
number of training recordings, and trains M4SER, plain concatenation, and M4SER without both tasks and without both
strategies at each. What is shown is UA on the 400 recordings of the test split. The ceiling is that of its expected
value: where the cue is lost, luck moves UA by 1 to 2 points (one standard deviation), also beyond the ceiling.

Every run takes the same number of optimizer steps, as nearly as whole epochs allow: 89 epochs of 100 recordings, 1 of
10,000. With as many epochs for all, larger corpora would be trained longer, and the effect of more data could not be
separated from that of more training; the largest would also cost 90 times the smallest. The last epoch is kept, whose
learning rate falls to 0: corpora of many short epochs would otherwise have more of them to select from.

Prints Markdown and writes the figure to docs/figures/sweep.svg and all values to experiments/results/sweep.json;
`--quick` writes both into the output folder. Corpora are made where they are missing, finished runs are kept, and
several of these commands on one output folder share the runs. Other options are those of train.py, such as `--seeds`.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from statistics import mean
from typing import Any

from experiments.sweep_figure import FULL, ROWS, draw, label
from m4ser.data.loading import load_dataset
from m4ser.data.synthetic import best_accuracy, write_corpus
from m4ser.data.word_errors import count_word_errors
from m4ser.evaluation.report.page import markdown_table
from m4ser.evaluation.report.runs import find_runs
from m4ser.evaluation.report.table import UA, Entry, Table, intervals
from m4ser.files import write_whole
from m4ser.processes import connect, disconnect
from m4ser.run_folder import MEASURES
from m4ser.training.arguments import Arguments, parse_arguments
from m4ser.training.runs import train_groups

ROOT = Path(__file__).parents[1]
ABLATIONS = ROOT / "configs" / "ablations"
RESULTS, FIGURE = ROOT / "experiments" / "results" / "sweep.json", ROOT / "docs" / "figures" / "sweep.svg"
BATCH_SIZE = 16
# Those of `m4ser demo`, but for the epoch that is kept; a run of two minutes needs no checkpoints.
TRAINING = (
    *("--preset", "tiny", "--normalization", "basic", "--batch_size", str(BATCH_SIZE), "--learning_rate", "1e-3"),
    *("--schedule", "linear", "--warmup_steps", "40", "--selection_metric", "last", "--checkpoint_epochs", "0"),
)


@dataclass(frozen=True)
class Setting:
    """A corpus: its word error rate where no cue is lost, share of lost cues, and number of training recordings.

    With 1,000 recordings, M4SER and concatenation both reach the ceiling, so that nothing could be told apart.
    """

    word_error_rate: float = 0.3
    lost_cues: float = 0.2
    training_size: int = 320

    @property
    def name(self) -> str:
        return f"wer{100 * self.word_error_rate:.0f}_lost{100 * self.lost_cues:.0f}_train{self.training_size}"


@dataclass(frozen=True)
class Plan:
    """The base setting, the values of each of its fields, the sizes of the other splits, and the steps of a run."""

    base: Setting = Setting()
    values: Mapping[str, Sequence[float]] = field(
        default_factory=lambda: {
            "word_error_rate": (0, 0.1, 0.3, 0.5),
            "lost_cues": (0, 0.2, 0.5, 0.8),
            "training_size": (100, 320, 1000, 3200, 10_000),
        }
    )
    held_out: Mapping[str, int] = field(default_factory=lambda: {"validation": 20, "test": 400})
    steps: int = 625

    def settings(self, max_size: int) -> dict[str, list[Setting]]:
        """Return the settings of each factor, without training splits of more than `max_size`."""
        factors = {
            factor: [replace(self.base, **{factor: value}) for value in values]
            for factor, values in self.values.items()
        }
        return {
            factor: [setting for setting in settings if setting.training_size <= max_size]
            for factor, settings in factors.items()
        }

    def epochs(self, training_size: int) -> int:
        """Return how many epochs come nearest to the steps, at least one."""
        return max(1, round(self.steps / -(-training_size // BATCH_SIZE)))


QUICK = Plan(
    base=Setting(training_size=40),
    values={"word_error_rate": (0.5,), "lost_cues": (0.5,), "training_size": (20,)},
    held_out={"validation": 8, "test": 40},
    steps=3,
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, draw, print."""
    parser = argparse.ArgumentParser(description="M4SER and its ablations over word errors, lost cues and sizes.")
    parser.add_argument("--output_dir", type=Path, required=True, help="a folder for the corpora and runs")
    parser.add_argument("--steps", type=int, help=f"optimizer steps of each run ({Plan.steps} by default)")
    parser.add_argument("--max_size", type=int, default=10_000, help="most training recordings (10,000 by default)")
    parser.add_argument("--quick", action="store_true", help="one value of each factor, a few recordings and steps")
    options, further = parser.parse_known_args(arguments)
    plan = QUICK if options.quick else Plan()
    plan = replace(plan, steps=options.steps or plan.steps)
    factors = plan.settings(options.max_size)
    train(plan, factors, options.output_dir, further)
    is_main_process = connect().is_main_process
    disconnect()
    if is_main_process:
        results = {"base": vars(plan.base), "steps": plan.steps, **collect(factors, options.output_dir)}
        values, figure = (options.output_dir / path.name if options.quick else path for path in (RESULTS, FIGURE))
        write_whole(values, json.dumps(results, indent=1) + "\n")
        draw(results, figure)
        print(describe(results))


def train(plan: Plan, factors: Mapping[str, Sequence[Setting]], folder: Path, further: Sequence[str]) -> None:
    """Make the corpora that are missing and train every row on each; `further` are options of training."""
    groups: dict[str, Arguments] = {}
    for setting in dict.fromkeys(setting for settings in factors.values() for setting in settings):
        corpus = folder / "corpora" / setting.name
        with connect().main_process_first():
            make_corpus(setting, plan.held_out, corpus)
        options = [*TRAINING, "--epochs", str(plan.epochs(setting.training_size)), "--dataset", str(corpus), *further]
        groups |= {
            f"{setting.name}/{row}": row_arguments(row, folder / "runs" / setting.name, options) for row in ROWS
        }
    for _ in train_groups(groups):
        pass


def row_arguments(row: str, folder: Path, options: Sequence[str]) -> Arguments:
    """Return what a row is trained by: the options, and what its ablation changes."""
    configs = [] if row == FULL else [str(ABLATIONS / f"{row}.yaml")]
    return parse_arguments([*configs, *options, "--output_dir", str(folder / row)])


def make_corpus(setting: Setting, held_out: Mapping[str, int], folder: Path) -> None:
    """Make the corpus of a setting, whole or not at all, unless it is there."""
    if folder.is_dir():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        made = Path(temporary) / "corpus"
        sizes = {"train": setting.training_size, **held_out}
        write_corpus(made, sizes=sizes, word_error_rate=setting.word_error_rate, lost_cues=setting.lost_cues)
        try:
            made.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another command was faster
                raise


def collect(factors: Mapping[str, Sequence[Setting]], folder: Path) -> dict[str, Any]:
    """Return every setting's ceiling and scores, by factor, and what they were made with."""
    settings = dict.fromkeys(setting for settings in factors.values() for setting in settings)
    measured = {setting: measure(setting, folder) for setting in settings}
    runs = [run for scores in measured.values() for row in scores["rows"].values() for run in row["runs"]]
    return {
        "date": f"{date.today():%d %B %Y}",
        "hardware": sorted({run.pop("hardware") for run in runs}),
        "seeds": sorted({run["seed"] for run in runs}),
        "factors": {factor: [measured[setting] for setting in settings] for factor, settings in factors.items()},
    }


def measure(setting: Setting, folder: Path) -> dict[str, Any]:
    """Return a setting's word error rate and ceiling, and UA with its 95 % interval and the runs of each row.

    All but the setting's own word error rate are in per cent.
    """
    test = load_dataset(folder / "corpora" / setting.name, "test")
    errors, words = count_word_errors(test["hypothesis"], test["transcript"])
    return {
        **vars(setting),
        "test_recordings": len(test),
        "test_word_error_rate": 100 * errors / words,
        "ceiling": 100 * best_accuracy(setting.lost_cues)["both"],
        "rows": dict(scores_of_rows(folder / "runs" / setting.name)),
    }


def scores_of_rows(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each row of the table and its scores, over all seeds that there are."""
    for row in ROWS:
        [group], _ = find_runs([folder / row])
        low, high = intervals(group)[MEASURES.index(UA)]
        runs = [
            {"seed": run.results["seed"], "ua": 100 * run.scores[UA]}
            | {name: run.results[name] for name in ("epochs", "seconds", "hardware")}
            for run in group.runs
        ]
        yield row, {"ua": mean(run["ua"] for run in runs), "low": low, "high": high, "runs": runs}


def describe(results: Mapping[str, Any]) -> str:
    """Return the results as Markdown."""
    lines: list[list[str | Entry]] = [
        [
            label(factor, scores),
            Entry(scores["ceiling"]),
            *(Entry(row["ua"], low=row["low"], high=row["high"]) for row in scores["rows"].values()),
        ]
        for factor, settings in results["factors"].items()
        for scores in settings
    ]
    table = Table("sweep", "Sweep", ["one factor changed", "ceiling", *ROWS.values()], lines)
    tested = {scores["test_recordings"] for settings in results["factors"].values() for scores in settings}
    errors, lost, size = (results["base"][name] for name in ("word_error_rate", "lost_cues", "training_size"))
    made_with = (
        f"UA in per cent, in brackets the 95 % bootstrap interval over {', '.join(map(str, tested))} recordings. WER "
        f"is that of the test split, lost cues included. Where not changed: {100 * errors:.0f} % expected errors, "
        f"{100 * lost:.0f} % of the cues lost besides, {size:,} training recordings. {results['steps']} steps a run. "
        f"{results['date']}; {', '.join(results['hardware'])}; seed {', '.join(map(str, results['seeds']))}."
    )
    title = "UA over word error rate, lost cues and training recordings"
    return f"![{title}](figures/{FIGURE.name})\n\n{markdown_table(table)}\n{made_with}"


if __name__ == "__main__":
    main()
