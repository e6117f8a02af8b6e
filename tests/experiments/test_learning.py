"""The benchmark of learning on a corpus of noises: every row is trained, and printed with what it was made with."""

import json
from pathlib import Path

import pytest
import yaml

from experiments import learning
from m4ser.evaluation.report.runs import find_runs
from tests.tiny_corpus import SMALL, write_tiny_corpus

NAMES = {
    "full",
    "concat baseline",
    "majority",
    "MFCC statistics + SVM",
    "TF-IDF + logistic regression, hypothesis",
    "TF-IDF + logistic regression, transcript",
}


def test_networks_and_baselines_on_the_same_recordings(tmp_path, capsys, monkeypatch):
    (tmp_path / "table.yaml").write_text(f"full:\nconcat: {learning.CONFIGS}/ablations/concat.yaml\n")
    monkeypatch.setattr(learning, "TABLE", tmp_path / "table.yaml")  # two rows instead of thirteen
    corpus, runs = write_tiny_corpus(tmp_path / "corpus"), tmp_path / "runs"
    small = yaml.safe_load(Path(SMALL).read_text())
    options = ["--epochs", "1", "--vocabulary_size", "60", "--config", json.dumps(small["config"])]
    learning.main(["--dataset", str(corpus), "--output_dir", str(runs), "--quick", *options])
    printed = capsys.readouterr().out

    groups, _ = find_runs([runs])
    assert {group.name for group in groups} == NAMES
    (tested,) = {frozenset(group.first.predictions) for group in groups}
    assert {(group.first.protocol, group.first.fold) for group in groups} == {("speakers", (1, 6))}
    rows = [[value.strip() for value in line.strip("|").split("|")] for line in printed.splitlines() if "|" in line][
        2:
    ]
    assert {row[0] for row in rows} == NAMES
    assert {row[4] for row in rows} == {str(len(tested))}
    scores = [float(row[6].split()[0]) for row in rows]
    assert scores == sorted(scores, reverse=True)
    by_name = {group.name: group for group in groups}
    assert scores == [pytest.approx(100 * by_name[row[0]].values("unweighted_accuracy")[0], abs=0.05) for row in rows]
    assert "seed 0; 1 epochs." in printed
