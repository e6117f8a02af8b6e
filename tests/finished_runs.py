"""Folders of finished runs as training leaves them, without the training."""

import csv
import json

import numpy as np

from m4ser.evaluation.metrics import evaluate_predictions
from m4ser.evaluation.report.runs import find_runs

LABELS = ("angry", "happy", "neutral", "sad")
LOSSES = ("emotion", "error_detection", "error_correction", "discriminator", "generator", "contrastive", "total")
CONFIG = {
    "model": {"system": "m4ser", "preset": "tiny", "speech_encoder": None, "text_encoder": None, "config": {}},
    "data": {"dataset": "data/corpus", "text_column": "hypothesis", "protocol": "held_out", "fold": None},
    "objective": {
        "auxiliary_weight": 0.1,
        "detection_weight": 3.0,
        "adversarial_weight": 0.01,
        "contrastive_weight": 0.1,
        "temperature": 0.07,
    },
    "training": {"seed": 0},
}


def make_predictions(count=40, right=0.6, seed=0):
    """{id: (label, prediction)}, as indices: a share of the predictions is right, the others are the next emotion."""
    generator = np.random.default_rng(seed)
    found = {}
    for number in range(count):
        label = number % len(LABELS)
        wrong = generator.random() >= right
        found[f"recording-{number:03d}"] = (label, (label + wrong) % len(LABELS))
    return found


def finished_run(folder, tested=None, predictions=True, config=None, **changes):
    """Write a run of 60 steps and 3 epochs; `changes` go into results.json, `config` into its groups."""
    folder.mkdir(parents=True)
    tested = make_predictions() if tested is None else tested
    labels, predicted = zip(*tested.values(), strict=True)
    merged = {group: {**values, **(config or {}).get(group, {})} for group, values in CONFIG.items()}
    results = {
        "name": folder.name,
        "labels": list(LABELS),
        "protocol": "held_out",
        "protocol_description": "The dataset's own splits, no speaker in two of them.",
        "shared_transcripts": {"validation": 0.0, "test": 0.0},
        "seed": 0,
        "epochs": 3,
        "best_epoch": 2,
        "parameters": 1234567,
        "seconds": 7200.0,
        "hardware": "2 threads, x86_64",
        "command": "train.py configs/corpus.yaml",
        "splits": {"test": evaluate_predictions(predicted, labels, len(LABELS))},
        "config": merged,
        **changes,
    }
    (folder / "results.json").write_text(json.dumps(results))
    if predictions:
        write_predictions(folder / "predictions.csv", tested)
    write_curves(folder)
    return folder


def write_predictions(path, tested):
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "split", "label", "prediction", *LABELS])
        for name, (label, predicted) in tested.items():
            sure = [0.7 if number == predicted else 0.1 for number in range(len(LABELS))]
            writer.writerow([name, "test", LABELS[label], LABELS[predicted], *sure])
        writer.writerow(["elsewhere", "validation", LABELS[0], LABELS[1], 0.1, 0.7, 0.1, 0.1])


def write_curves(folder):
    generator = np.random.default_rng(0)
    with open(folder / "metrics.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["step", "epoch", *LOSSES, "learning_rate", "seconds"])
        for step in range(60):
            writer.writerow([step, step // 20, *generator.exponential(size=len(LOSSES)), 1e-4, step])
    (folder / "validation.csv").write_text(
        "step,epoch,weighted_accuracy,unweighted_accuracy,weighted_f1\n20,1,.1,.1,.1\n40,2,.3,.2,.2\n60,3,.4,.3,.3\n"
    )


def groups_of(*folders):
    """The groups that the report makes of some folders."""
    return find_runs(folders)[0]


def entries(table, first):
    """The row whose first entry is `first`, by column; a number as it is printed."""
    (row,) = (row for row in table.rows if row[0] == first)
    return dict(zip(table.columns, map(str, row), strict=True))


def part(tested, fold, count=5):
    """Every fifth recording: what one fold tests."""
    return {name: pair for number, (name, pair) in enumerate(tested.items()) if number % count == fold - 1}


def five_folds(folder, tested, seeds=(0,), **changes):
    for seed in seeds:
        for fold in range(1, 6):
            name = f"loso, fold {fold} of 5"
            finished_run(folder / f"fold{fold}_seed{seed}", part(tested, fold), protocol=name, seed=seed, **changes)
    return folder
