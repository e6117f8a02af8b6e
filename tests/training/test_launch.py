"""The launch files: Accelerate reads them, they name what is there, and one of them starts two processes here."""

import csv
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import torch
import yaml
from accelerate.commands.config.config_args import load_config_from_file

from m4ser import M4SERConfig, M4SERModel
from tests.tiny_corpus import SIZES, SMALL, write_tiny_corpus
from tests.warm_python import warm

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "configs" / "launch").glob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_accelerate_loads_launch_files(path):
    config = load_config_from_file(str(path))
    assert config.num_processes >= 1
    assert config.mixed_precision == "bf16"


def test_fsdp_wraps_the_layers_of_both_encoders():
    config = yaml.safe_load((ROOT / "configs" / "launch" / "fsdp.yaml").read_text())
    wrapped = config["fsdp_config"]["fsdp_transformer_layer_cls_to_wrap"].split(",")
    with torch.device("meta"):
        models = [M4SERModel(M4SERConfig.preset(name)) for name in ("base", "large")]
    found = {type(module).__name__ for model in models for module in model.modules()}
    assert set(wrapped) <= found


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_tiny_corpus(tmp_path_factory.mktemp("corpus"))


def launch(file, launcher, corpus, run, *options):
    """Run `accelerate launch` with a launch file on the CPU."""
    accelerate = [warm("python"), "-m", "accelerate.commands.launch", *launcher, "--config_file"]
    script = ["train.py", SMALL, "--dataset", corpus, "--output_dir", run, *options]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    command = [*accelerate, ROOT / "configs" / "launch" / f"{file}.yaml", *script]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)


def test_two_processes_train_one_model(corpus, tmp_path):
    """Without a GPU the launch file for several of them starts as many processes on the CPU."""
    result = launch("several_gpus", [], corpus, tmp_path / "run", "--batch_size", "2")
    assert result.returncode == 0, result.stderr[-2000:]
    assert result.stdout.count("test WA") == 1
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert (results["processes"], results["precision"]) == (2, "bf16")
    assert results["splits"]["test"]["n"] == SIZES["test"]
    with (tmp_path / "run" / "metrics.csv").open(newline="") as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["1", "2", "3"]  # 11 recordings, four a step
    with (tmp_path / "run" / "predictions.csv").open(newline="") as file:
        ids = [row["id"] for row in csv.DictReader(file)]
    assert len(ids) == len(set(ids)) == SIZES["validation"] + SIZES["test"]


def test_launch_file_sets_the_precision(corpus, tmp_path):
    result = launch("one_gpu", ["--cpu"], corpus, tmp_path / "run")
    assert result.returncode == 0, result.stderr[-2000:]
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert (results["processes"], results["precision"]) == (1, "bf16")
    assert results["config"]["training"]["mixed_precision"] is None


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_are_those_that_were_given(threads, corpus, tmp_path):
    """One thread, too, on a machine with more cores."""
    result = launch("one_gpu", ["--cpu", "--num_cpu_threads_per_process", str(threads)], corpus, tmp_path / "run")
    assert result.returncode == 0, result.stderr[-2000:]
    assert json.loads((tmp_path / "run" / "results.json").read_text())["threads"] == threads


def test_precision_other_than_launched_is_refused(corpus, tmp_path):
    result = launch("one_gpu", ["--cpu"], corpus, tmp_path / "run", "--mixed_precision", "no")
    assert result.returncode == 1
    sentence = "accelerate was launched with --mixed_precision bf16, train.py was given no: leave one of them out."
    assert f"train.py: {sentence}" in result.stderr


LAUNCHERS = {
    "torchrun": ["torch.distributed.run", "--standalone", "--nproc_per_node", "2"],
    "accelerate": ["accelerate.commands.launch", "--config_file", str(ROOT / "configs/launch/several_gpus.yaml")],
}


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="a launcher's end is waited for on Linux only")
@pytest.mark.parametrize(
    ("launcher", "killed"),
    [
        ("torchrun", 1),
        pytest.param("torchrun", 0, marks=pytest.mark.soak),
        pytest.param("accelerate", 0, marks=pytest.mark.soak),
        pytest.param("accelerate", 1, marks=pytest.mark.soak),
    ],
)
def test_killed_process_ends_the_other_with_a_sentence(launcher, killed, corpus, tmp_path):
    run, log = tmp_path / "run", tmp_path / "log"
    options = ["--dataset", corpus, "--output_dir", run, "--batch_size", "2", "--epochs", "1000"]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", *LAUNCHERS[launcher], "train.py", SMALL, *map(str, options)]
    with log.open("w") as output:
        process = subprocess.Popen(command, cwd=ROOT, stderr=output, stdout=output, env=environment)
    metrics = run / "metrics.csv"
    while process.poll() is None and (not metrics.exists() or metrics.read_text().count("\n") < 5):
        time.sleep(0.05)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(children[killed]), signal.SIGKILL)
    assert process.wait(60) == 1
    sentence = "train.py: another process of this training, or its launcher, has ended; the same command with "
    deadline = time.monotonic() + 10  # it is printed below what the launcher prints
    while not log.read_text().splitlines()[-1].startswith(sentence) and time.monotonic() < deadline:
        time.sleep(0.05)
    printed = log.read_text()
    assert printed.splitlines()[-1] == f"{sentence}--resume true goes on from the last checkpoint."
    assert "gloo" not in printed


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="a launcher's end is waited for on Linux only")
@pytest.mark.parametrize("processes", [1, 2])
def test_sentence_is_the_last_line(processes, tmp_path):
    """Below the launcher's own traceback, once, whatever process failed."""
    launcher = ["--cpu", "--num_processes", str(processes)]
    result = launch("one_gpu", launcher, tmp_path / "gone", tmp_path / "run", "--mixed_precision", "bf16")
    sentence = f"train.py: There is no dataset {tmp_path / 'gone'}: no such folder."
    above, last = result.stderr.strip().rsplit("\n", 1)
    assert result.returncode == 1 and last.startswith(sentence)
    assert above.rfind("Traceback") > above.rfind(sentence) > -1
    assert not Path(tempfile.gettempdir(), f"m4ser-{os.getpid()}").exists()
