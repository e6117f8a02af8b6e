"""What differs significantly on RAVDESS: six folds, several seeds, each row at a learning rate of its own.

    python datasets_builders/ravdess.py --data_dir RAVDESS --output_dir data/ravdess
    accelerate launch -m experiments.evidence --dataset data/ravdess --output_dir runs/evidence --epochs 20 --seeds 0 1

Each row of configs/tables/evidence.yaml is trained on the first fold, with the first seed, at three learning rates:
half of the corpus's, that, and twice it. The best UA on the fold's validation speakers chooses one, the smallest where
several are equal; these four actors are tested in another fold, by models that were not trained on them, but whose
rate they helped to choose. At its rate, a row is trained on all six folds by every seed, fold by fold for all rows, so
that what has been trained when the time is up can be compared. Other options are those of train.py. Prints Markdown,
as in experiments/results/evidence.md; run again, it resumes where it stopped, and several such commands on one folder
share the runs. Of a finished run it needs results.json and predictions.csv alone: experiments/results/evidence, copied
to --output_dir, counts as trained.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from experiments.learning import CONFIGS, CORPUS, PROTOCOL, describe
from m4ser import run_folder
from m4ser.data.loading import load_dataset
from m4ser.evaluation.protocols import fold_count
from m4ser.evaluation.report.page import markdown_table
from m4ser.evaluation.report.result_tables import comparison_table
from m4ser.evaluation.report.runs import find_runs
from m4ser.evaluation.report.speakers import known_speakers
from m4ser.evaluation.report.table import UA
from m4ser.processes import connect, disconnect
from m4ser.training.arguments import Arguments
from m4ser.training.runs import train_groups
from m4ser.training.tables import rows

TABLE = CONFIGS / "tables" / "evidence.yaml"
FACTORS = (0.5, 1.0, 2.0)  # of the corpus's learning rate
FOLD = 1  # whose validation speakers choose the rates


def main(arguments: Sequence[str] | None = None) -> None:
    """Choose the rates, train, and print."""
    parser = argparse.ArgumentParser(description="M4SER, its ablations and other systems on all folds of RAVDESS.")
    parser.add_argument("--output_dir", type=Path, required=True, help="a folder for the runs")
    options, further = parser.parse_known_args(arguments)
    chosen_here = ["--output_dir", str(options.output_dir), "--protocol", PROTOCOL]
    found = candidates([str(CORPUS), *chosen_here, *further])
    train([at_rate for at_rates in found.values() for at_rate in at_rates], FOLD, first_seed=True)
    scores = {row: [validation_score(at_rate) for at_rate in at_rates] for row, at_rates in found.items()}
    chosen = [at_rates[scores[row].index(max(scores[row]))] for row, at_rates in found.items()]
    for fold in range(1, fold_count(load_dataset(chosen[0].data.dataset), PROTOCOL) + 1):
        train(chosen, fold)
    train(chosen, "all")  # which sums them up
    is_main_process = connect().is_main_process
    disconnect()
    if is_main_process:
        print(describe_rates(found, scores))
        print(describe_runs(chosen))


def candidates(argv: Sequence[str]) -> dict[str, list[Arguments]]:
    """Return each row at each learning rate, in a folder that names both; none is trained on crops.

    A crop cuts words off that the transcript has, which recognition needs.
    """
    found = {}
    for row, arguments in rows(TABLE, argv).items():
        training, data = arguments.training, replace(arguments.data, augment_crop=0.0)
        changes = [
            {"name": training.name or row, "learning_rate": rate, "output_dir": f"{training.output_dir}_at_{rate:g}"}
            for rate in (factor * training.learning_rate for factor in FACTORS)
        ]
        found[row] = [replace(arguments, data=data, training=replace(training, **change)) for change in changes]
    return found


def train(groups: Sequence[Arguments], fold: int | str, first_seed: bool = False) -> None:
    """Train each on one fold or all, by every seed or by the first alone."""
    of_fold = {}
    for group in groups:
        training = group.training
        seeds = (training.seeds or [training.seed])[: 1 if first_seed else None]
        training, data = replace(training, seeds=seeds), replace(group.data, fold=fold)
        of_fold[training.output_dir] = replace(group, training=training, data=data)
    for _ in train_groups(of_fold):
        pass


def validation_score(arguments: Arguments) -> float:
    """Return the UA on the validation speakers of the run that chooses a rate."""
    training = arguments.training
    seed = (training.seeds or [training.seed])[0]
    results = run_folder.read_results(Path(training.output_dir) / f"fold{FOLD}_seed{seed}")
    return float(results["splits"]["validation"][UA])


def describe_rates(found: Mapping[str, Sequence[Arguments]], scores: Mapping[str, Sequence[float]]) -> str:
    """Return the validation UA of each row at each rate as a Markdown table, the best in bold."""
    rates = [f"{at_rate.training.learning_rate:g}" for at_rate in next(iter(found.values()))]
    lines = [f"| validation UA at a learning rate of | {' | '.join(rates)} |", "| --- |" + " ---: |" * len(rates)]
    for row, values in scores.items():
        shown = [f"{100 * value:.1f}" for value in values]
        best = values.index(max(values))
        shown[best] = f"**{shown[best]}**"
        lines.append(f"| {row} | {' | '.join(shown)} |")
    return "\n".join([*lines, ""])


def describe_runs(chosen: Sequence[Arguments]) -> str:
    """Return the rows' scores and how each differs from M4SER's as Markdown, intervals and tests by speakers."""
    folders = [row.training.output_dir for row in chosen]
    groups, _ = find_runs(folders)
    speakers = known_speakers(groups, chosen[0].data.dataset)
    compared = comparison_table("RAVDESS", groups, speakers)
    return "\n".join([describe(*folders, speakers=speakers), "", markdown_table(compared), *compared.notes])


if __name__ == "__main__":
    main()
