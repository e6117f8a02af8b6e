"""The table of systems from one command on the synthetic corpus, and where each of its runs goes from there."""

import os
import subprocess

import pytest
from transformers import AutoModelForAudioClassification

from m4ser.data.synthetic import write_corpus
from m4ser.evaluation.calibration import calibrate_run
from m4ser.evaluation.paper.systems_table import systems_table
from m4ser.evaluation.report.runs import find_runs
from m4ser.evaluation.scoring import score_split
from m4ser.run_folder import read_results
from m4ser.systems import SYSTEMS
from tests.conftest import ROOT
from tests.loopback_hub import LoopbackHub
from tests.tiny_corpus import SMALL
from tests.warm_python import warm

SIZES = {"train": 24, "validation": 12, "test": 12}
BASELINES = ["speech_only", "text_only", "concat", "without_strategies", "full"]
OTHERS = [name for name in SYSTEMS if name != "m4ser"]
PUSH_AND_LOAD = """
import sys
from pathlib import Path
import numpy as np
from transformers import AutoModelForAudioClassification, pipeline
from m4ser.hub.models import push

for run in map(Path, sys.argv[2:]):
    repo_id = f"org/{run.parent.name.removesuffix('_matched')}"
    push(run, repo_id, sys.argv[1])
    assert type(AutoModelForAudioClassification.from_pretrained(repo_id)).__module__.startswith("m4ser.")
    recording = {"raw": np.zeros(4000, np.float32), "sampling_rate": 16000, "text": "the night"}
    print(repo_id, pipeline("audio-classification", model=repo_id)(recording)[0]["label"])
"""


def run(*command, **environment):
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", **environment}
    result = subprocess.run(
        [warm("python"), *map(str, command)], cwd=ROOT, capture_output=True, text=True, env=environment
    )
    assert result.returncode == 0, result.stderr[-2000:]
    return result.stdout


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus") / "synthetic"
    write_corpus(folder, sizes=SIZES)
    return folder


@pytest.fixture(scope="module")
def runs(corpus, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    table = "configs/tables/systems.yaml"
    printed = run("train.py", "--table", table, SMALL, "--dataset", corpus, "--output_dir", folder)
    assert f"m4ser report {folder} --output_dir report" in printed
    return {path.name.removesuffix("_matched"): path / "seed0" for path in folder.iterdir()}


def test_every_row_is_trained(runs):
    assert runs.keys() == {*BASELINES, *OTHERS}
    for name in OTHERS:
        results = read_results(runs[name])
        assert results["config"]["model"]["system"] == name and results["test_seconds"] > 0


def test_every_row_is_in_the_table(runs):
    groups, _ = find_runs(list(runs.values()))
    table = systems_table("synthetic", groups)
    titles = [SYSTEMS[name].title for name in OTHERS]
    assert {row[0] for row, ours in zip(table.rows, table.ours, strict=True) if ours} >= {
        *titles,
        "M4SER",
        "MF-AED-AEC",
    }


@pytest.mark.parametrize("name", OTHERS)
def test_run_is_evaluated_and_calibrated(name, runs, corpus):
    trained = read_results(runs[name])["splits"]["test"]
    assert score_split(runs[name], corpus)["confusion_matrix"] == trained["confusion_matrix"]
    temperature = calibrate_run(runs[name], corpus)["temperature"]
    model = AutoModelForAudioClassification.from_pretrained(runs[name])
    assert type(model) is SYSTEMS[name] and model.config.calibration_temperature == temperature


def test_every_run_is_pushed_and_loaded(runs, tmp_path):
    with LoopbackHub() as hub:
        folders = [runs[name] for name in OTHERS]
        printed = run("-c", PUSH_AND_LOAD, ROOT / "model_card.md", *folders, **hub.environment(tmp_path))
    assert [line.split()[0] for line in printed.splitlines()] == [f"org/{name}" for name in OTHERS]
