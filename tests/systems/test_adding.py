"""The cost of a change: a system is one file and a YAML, a loss is one entry of the objective table."""

import csv
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.tiny_corpus import SMALL, write_tiny_corpus
from tests.warm_python import warm

ROOT = Path(__file__).parents[2]
REPORT = """
import sys
from m4ser.evaluation.paper import write_report
print(write_report([sys.argv[1]], sys.argv[2]))
"""
# Adds an entry to the objective table, as an edit of losses.py would, and trains.
TOY_LOSS = """
import sys
from m4ser.losses import OBJECTIVES, Objective, recordings
from m4ser.training.main import main

def size(inputs):
    return inputs.output.embeddings.float().square().mean()

OBJECTIVES["size"] = Objective("size", "size of the embeddings", recordings, size, ("auxiliary_weight",))
main(sys.argv[1:])
"""


def run(*command, processes=1, **environment):
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    command = [warm("python"), *(launcher if processes > 1 else []), *map(str, command)]
    on_cpu = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", **environment}
    result = subprocess.run(command, capture_output=True, text=True, env=on_cpu)
    assert result.returncode == 0, result.stderr[-2000:]
    return result.stdout


def columns(path):
    with path.open(newline="") as file:
        return {name: [float(row[name]) for row in csv.DictReader(file)] for name in next(csv.reader(path.open()))}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_tiny_corpus(tmp_path_factory.mktemp("corpus") / "corpus")


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """A copy of the package with one more file."""
    folder = tmp_path_factory.mktemp("package")
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "tests" / "systems" / "toy.py", folder / "src" / "m4ser" / "systems")
    shutil.copy(ROOT / "train.py", folder)
    (folder / "toy.yaml").write_text("name: toy\nsystem: toy\n")
    return folder


@pytest.fixture(scope="module")
def toy_run(package, corpus, tmp_path_factory):
    """The toy system, trained by two processes."""
    output = tmp_path_factory.mktemp("runs") / "toy"
    arguments = [package / "train.py", SMALL, package / "toy.yaml", "--batch_size", "2"]
    run(*arguments, "--dataset", corpus, "--output_dir", output, processes=2, PYTHONPATH=str(package / "src"))
    return output


def test_system_trains_on_its_own_loss(toy_run):
    found = columns(toy_run / "metrics.csv")
    assert all(value > 0 for value in found["attraction"])
    assert found["total"] == pytest.approx(
        [e + c * 0.1 + a for e, c, a in zip(found["emotion"], found["contrastive"], found["attraction"], strict=True)],
        rel=1e-5,
    )


def test_system_is_named_in_the_help(package):
    assert "toy" in run(package / "train.py", "--help", PYTHONPATH=str(package / "src"))
    assert "toy" not in run(ROOT / "train.py", "--help", PYTHONPATH=str(ROOT / "src"))


def test_system_has_its_row_and_its_curve_in_the_report(package, toy_run, tmp_path):
    run("-c", REPORT, toy_run, tmp_path / "report", PYTHONPATH=str(package / "src"))
    report = (tmp_path / "report" / "report.md").read_text()
    assert "| toy | Toy system | held_out |" in report
    (curves,) = (tmp_path / "report" / "figures").glob("*fig8-toy.svg")
    assert "attraction" in curves.read_text()


def test_loss_is_one_entry_of_the_table(corpus, tmp_path):
    output = tmp_path / "run"
    (tmp_path / "train_toy.py").write_text(TOY_LOSS)
    arguments = [tmp_path / "train_toy.py", SMALL, "--batch_size", "2", "--dataset", corpus, "--output_dir", output]
    run(*arguments, processes=2, PYTHONPATH=str(ROOT / "src"))
    found = columns(output / "metrics.csv")
    known = ("emotion", "size", "error_detection", "error_correction", "generator", "contrastive")
    weights = dict(zip(known, (1.0, 0.1, 0.3, 0.1, 0.01, 0.1), strict=True))
    totals = [sum(weights[name] * found[name][step] for name in known) for step in range(len(found["total"]))]
    assert all(value > 0 for value in found["size"]) and found["total"] == pytest.approx(totals, rel=1e-5)
