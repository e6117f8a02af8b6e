"""Every fold and seed from one command: finished runs stay, cut ones go on, and the summary is right."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev

import pytest

from m4ser.data.builders.writing import write_dataset
from m4ser.data.schema import DataError
from m4ser.training.arguments import parse_arguments
from m4ser.training.loop import train
from m4ser.training.runs import runs, train_all
from tests.tiny_corpus import LABELS, SMALL, sessions, write_sessions

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def argv(tmp_path_factory):
    """A small network on a corpus of three sessions."""
    corpus = write_sessions(tmp_path_factory.mktemp("sessions") / "corpus", 3)
    return [SMALL, "--dataset", str(corpus), "--protocol", "loso", "--keep_checkpoints", "1"]


def test_all_folds_and_seeds_then_the_missing_one(argv, tmp_path):
    command = [sys.executable, "train.py", *argv, "--fold", "all", "--seeds", "0", "1", "--output_dir", str(tmp_path)]
    on_cpu = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=on_cpu)
    assert result.returncode == 0, result.stderr
    assert "mean and standard deviation of 6 runs" in result.stdout
    names = [f"fold{fold}_seed{seed}" for fold in (1, 2, 3) for seed in (0, 1)]
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert list(summary["runs"]) == names
    results = {name: json.loads((tmp_path / name / "results.json").read_text()) for name in names}
    assert [result["protocol"] for result in results.values()] == [f"loso, fold {n} of 3" for n in (1, 1, 2, 2, 3, 3)]
    accuracies = [result["splits"]["test"]["unweighted_accuracy"] for result in results.values()]
    expected = {"mean": pytest.approx(mean(accuracies)), "standard_deviation": pytest.approx(stdev(accuracies))}
    assert summary["splits"]["test"]["unweighted_accuracy"] == expected

    # A run that was cut has a checkpoint and no results; the finished ones are not touched.
    before = {name: (tmp_path / name / "results.json").stat().st_mtime_ns for name in names}
    (tmp_path / names[2] / "results.json").unlink()
    again = parse_arguments([*argv, "--fold", "all", "--seeds", "0", "1", "--output_dir", str(tmp_path)])
    assert train_all(again)["splits"] == summary["splits"]
    after = {name: (tmp_path / name / "results.json").stat().st_mtime_ns for name in names}
    assert [name for name in names if after[name] != before[name]] == [names[2]]

    other = parse_arguments([*argv, "--fold", "all", "--learning_rate", "0.1", "--output_dir", str(tmp_path)])
    with pytest.raises(DataError, match=r"fold1_seed0 is finished, but its learning_rate was 1e-05 and is 0.1 now"):
        train_all(other)


def test_seeds_alone(argv, tmp_path):
    held_out = parse_arguments([*argv, "--fold", "2", "--seeds", "3", "4", "--output_dir", str(tmp_path)])
    assert [Path(run.training.output_dir).name for run in runs(held_out)] == ["fold2_seed3", "fold2_seed4"]
    assert [(run.training.seed, run.training.seeds, run.training.resume) for run in runs(held_out)] == [
        (3, None, True),
        (4, None, True),
    ]


def test_all_folds_of_a_protocol_without_folds(argv, tmp_path):
    arguments = parse_arguments([*argv, "--protocol", "official", "--fold", "all", "--output_dir", str(tmp_path)])
    with pytest.raises(DataError, match="The protocol official has no folds; choose from loso, paper"):
        list(runs(arguments))


def test_test_labels_do_not_influence_training(argv, tmp_path):
    """Poisoned labels in the test session, identical checkpoint; with the protocol `paper` they do reach it."""
    poisoned = tmp_path / "poisoned"
    rows = (replace(row, emotion=LABELS[0]) if row.session == "1" else row for row in sessions(3))
    write_dataset(rows, LABELS, poisoned, title="Poisoned", description="Noises.")
    for name, corpus in (("clean", argv[2]), ("poisoned", str(poisoned))):
        options = ["--fold", "1", "--epochs", "3", "--learning_rate", "0.01", "--output_dir", str(tmp_path / name)]
        train(parse_arguments([*argv, "--dataset", corpus, *options]))
    kept = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("clean", "poisoned")]
    assert kept[0] == kept[1]
    scores = [json.loads((tmp_path / name / "results.json").read_text())["splits"] for name in ("clean", "poisoned")]
    assert scores[0]["validation"] == scores[1]["validation"]
    assert scores[0]["test"]["confusion_matrix"] != scores[1]["test"]["confusion_matrix"]
