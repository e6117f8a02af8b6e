"""M4SER, its ablations and simple classifiers on RAVDESS with the hypotheses of a real ASR model (Table IV's rows).

    python datasets_builders/ravdess.py --data_dir RAVDESS --output_dir data/ravdess
    accelerate launch -m experiments.learning --dataset data/ravdess --output_dir runs/learning --seeds 0 1 2

The rows of Table IV and the baselines in the folds of the protocol `speakers`, each actor tested once by models that
were not trained on them: six folds of two men and two women. `--quick` is the first fold alone. Other options are
those of train.py. Prints Markdown, as in experiments/results/learning.md; run again, it resumes where it stopped. The
baselines are made anew, which takes minutes.
"""

import argparse
from collections.abc import Sequence
from datetime import date
from itertools import islice
from pathlib import Path
from statistics import mean

from m4ser.data.loading import load_dataset
from m4ser.evaluation.baselines import folds, score_baselines, write_run
from m4ser.evaluation.report.page import by_corpus, markdown_table
from m4ser.evaluation.report.result_tables import results_table
from m4ser.evaluation.report.runs import find_runs
from m4ser.evaluation.report.speakers import Speakers
from m4ser.evaluation.report.table import UA
from m4ser.processes import connect, disconnect
from m4ser.training.tables import train_table

CONFIGS = Path(__file__).parents[1] / "configs"
TABLE, CORPUS = CONFIGS / "tables" / "table_4.yaml", CONFIGS / "ravdess.yaml"
PROTOCOL = "speakers"
QUICK = ["--fold", "1"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Train and print."""
    parser = argparse.ArgumentParser(description="M4SER, its ablations and the baselines on RAVDESS.")
    parser.add_argument("--dataset", type=Path, required=True, help="the folder of the built RAVDESS")
    parser.add_argument("--output_dir", type=Path, required=True, help="a folder for the runs")
    parser.add_argument("--quick", action="store_true", help="one fold")
    options, further = parser.parse_known_args(arguments)
    train_networks(options, further)
    is_main_process = connect().is_main_process
    disconnect()
    if is_main_process:
        train_baselines(options)
        print(describe(options.output_dir))


def train_networks(options: argparse.Namespace, further: Sequence[str]) -> None:
    """Train every row of the table; `further` are options of training."""
    chosen = ["--dataset", str(options.dataset), "--output_dir", str(options.output_dir), "--protocol", PROTOCOL]
    which = QUICK if options.quick else ["--fold", "all"]
    for _ in train_table(TABLE, [str(CORPUS), *chosen, *which, *further]):
        pass


def train_baselines(options: argparse.Namespace) -> None:
    """Train the simple classifiers on the same folds."""
    for fold in islice(folds(load_dataset(options.dataset), PROTOCOL), 1 if options.quick else None):
        for name, scored in score_baselines(fold.splits).items():
            write_run(options.output_dir, options.dataset, PROTOCOL, fold, name, scored)


def describe(*folders: str | Path, speakers: Speakers | None = None) -> str:
    """Return the runs below folders as Markdown, the best UA first, and what they were made with."""
    groups, _ = find_runs(folders)
    groups.sort(key=lambda group: -mean(group.values(UA)))
    tables = [results_table(*pair, speakers) for pair in by_corpus(groups).items()]
    results = [run.results for group in groups if group.is_network for run in group.runs]
    made = {name: ", ".join(sorted({str(row[name]) for row in results})) for name in ("seed", "epochs", "hardware")}
    notes = [note for table in tables for note in table.notes]
    made_with = f"{date.today():%d %B %Y}; {made['hardware']}; seed {made['seed']}; {made['epochs']} epochs."
    return "\n".join([*map(markdown_table, tables), *notes, made_with])


if __name__ == "__main__":
    main()
