"""A run that is killed at any moment goes on as if nothing had happened, to the bit."""

import csv
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from safetensors.torch import load_file

from m4ser.data.schema import DataError
from m4ser.training import loop
from m4ser.training.arguments import parse_arguments
from m4ser.training.interruption import postponed_interrupt
from m4ser.training.loop import train
from m4ser.training.setup import seed_step
from tests.conftest import ROOT
from tests.tiny_corpus import SMALL, write_tiny_corpus

STEPS = 24  # 8 epochs of 3
KILLS = 10
CONFIG = """
config:
  hidden_dropout: 0.2
  auxiliary_tasks: [detection, correction, recognition]
  speech_config: {conv_stride: [160, 1, 1]}  # frames enough for the transcripts' characters
batch_size: 4
epochs: 8
learning_rate: 1e-3
schedule: linear
warmup_steps: 4
augment_speed: 0.1
augment_mask: 0.2
checkpoint_steps: 2
keep_checkpoints: 2
"""


@pytest.fixture(scope="module")
def arguments(tmp_path_factory):
    corpus = write_tiny_corpus(tmp_path_factory.mktemp("corpus"))
    config = tmp_path_factory.mktemp("config") / "tiny.yaml"
    config.write_text(CONFIG)
    return [SMALL, str(config), "--dataset", str(corpus)]


@pytest.fixture(scope="module")
def whole(arguments, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    train(parse_arguments([*arguments, "--output_dir", str(folder)]))
    return folder


@pytest.fixture(scope="module")
def workers():
    """Processes that have imported everything when they start."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["m4ser.training.loop", "tests.tiny_corpus"])
    return context


def work(argv):
    train(parse_arguments(argv))


def logged(folder):
    """Rows of the log without the time that they took, which no two runs share."""
    path = folder / "metrics.csv"
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]


def assert_same_run(folder, whole):
    assert logged(folder) == logged(whole)
    assert (folder / "validation.csv").read_text() == (whole / "validation.csv").read_text()
    assert (folder / "predictions.csv").read_text() == (whole / "predictions.csv").read_text()
    for name in ("model.safetensors", f"checkpoints/step-{STEPS:08d}/state.safetensors"):
        assert (folder / name).read_bytes() == (whole / name).read_bytes(), name


def test_every_loss_is_trained(whole):
    assert all(float(row["recognition"]) for row in logged(whole))


def test_killed_at_ten_random_moments(arguments, whole, workers, tmp_path):
    draw = random.Random(0)
    moments = sorted(draw.sample(range(1, STEPS), KILLS))
    argv = [*arguments, "--output_dir", str(tmp_path), "--resume", "true"]
    for moment in moments:
        worker = workers.Process(target=work, args=(argv,))
        worker.start()
        while len(logged(tmp_path)) < moment and worker.is_alive():
            time.sleep(0.005)
        time.sleep(draw.uniform(0, 0.1))  # amid a step, a checkpoint or the validation
        worker.kill()
        worker.join()
        assert worker.exitcode == -9
    train(parse_arguments(argv))
    assert_same_run(tmp_path, whole)


@pytest.mark.parametrize("step", [4, 6], ids=["amid an epoch", "its last step"])
def test_interrupted_saves_its_step(step, arguments, whole, tmp_path, monkeypatch):
    argv = [*arguments, "--output_dir", str(tmp_path), "--checkpoint_steps", "0", "--checkpoint_epochs", "0"]
    with monkeypatch.context() as patch:
        patch.setattr(loop, "seed_step", interrupting_seed_step(step))
        with pytest.raises(KeyboardInterrupt, match=f"step {step} is saved"):
            train(parse_arguments(argv))
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == [f"step-{step:08d}"]
    train(parse_arguments([*argv, "--resume", "true"]))
    assert_same_run(tmp_path, whole)


def interrupting_seed_step(last):
    def seed(seed, step, accelerator):
        seed_step(seed, step, accelerator)
        if step == last - 1:
            signal.raise_signal(signal.SIGINT)

    return seed


def test_interrupted_command_says_how_to_go_on(arguments, whole, tmp_path):
    argv = [*arguments, "--output_dir", str(tmp_path), "--checkpoint_steps", "0", "--checkpoint_epochs", "0"]
    argv += ["--num_workers", "1"]  # a terminal's Ctrl-C is for the workers, too
    command = [sys.executable, "train.py", *argv]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True)
    while len(logged(tmp_path)) < 4 and process.poll() is None:
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGINT)
    _, printed = process.communicate(timeout=60)
    (checkpoint,) = (tmp_path / "checkpoints").iterdir()
    step = int(checkpoint.name.removeprefix("step-"))
    last = f"train.py: interrupted: step {step} is saved; the same command with --resume true goes on from the last "
    assert (process.returncode, printed.splitlines()[-1]) == (130, f"{last}checkpoint.")
    assert "Traceback" not in printed
    train(parse_arguments([*argv, "--resume", "true"]))
    assert_same_run(tmp_path, whole)


def test_second_interrupt_is_not_postponed():
    with postponed_interrupt(SimpleNamespace(num_processes=1)) as interrupted:
        signal.raise_signal(signal.SIGINT)
        assert interrupted.is_set()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    with postponed_interrupt(SimpleNamespace(num_processes=2)), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_damaged_checkpoint_falls_back(arguments, whole, tmp_path):
    argv = [*arguments, "--output_dir", str(tmp_path)]
    train(parse_arguments([*argv, "--epochs", "4", "--schedule", "linear"]))
    newest = sorted((tmp_path / "checkpoints").glob("step-*"))[-1] / "state.safetensors"
    content = bytearray(newest.read_bytes())
    content[-100] ^= 1
    newest.write_bytes(content)
    with pytest.warns(UserWarning, match=r"step-00000012 is damaged .* going on from the checkpoint before it"):
        train(parse_arguments([*argv, "--epochs", "4", "--resume", "true"]))
    assert [row["step"] for row in logged(tmp_path)] == [str(step + 1) for step in range(12)]


def test_checkpoints_are_pruned_and_hold_no_code(whole):
    folders = sorted((whole / "checkpoints").iterdir())
    assert [folder.name for folder in folders] == ["step-00000022", "step-00000024"]
    for folder in folders:
        assert {path.name for path in folder.iterdir()} == {"state.json", "state.safetensors"}
    names = {"/".join(name.split("/")[:2]) for name in load_file(folders[-1] / "state.safetensors")}
    sides = ("network", "discriminator")
    assert names == {f"{side}/{kind}" for side in sides for kind in ("module", "optimizer")}


@pytest.mark.parametrize(
    ("option", "value", "complaint"),
    [
        ("--learning_rate", "0.01", "learning_rate was 0.001 there and is 0.01 now"),
        ("--adversarial_weight", "0", "adversarial_weight was 0.01 there and is 0.0 now"),
        ("--batch_size", "8", "recordings a batch was 4 there and is 8 now"),
    ],
)
def test_checkpoints_of_another_run_are_refused(arguments, whole, option, value, complaint):
    argv = [*arguments, "--output_dir", str(whole), "--resume", "true", option, value]
    with pytest.raises(DataError, match=f"belong to another run: {complaint}; give another --output_dir"):
        train(parse_arguments(argv))


def test_nonfinite_loss_stops_or_is_skipped(arguments, tmp_path):
    argv = [*arguments, "--output_dir", str(tmp_path), "--epochs", "1", "--learning_rate", "1e30"]
    with pytest.raises(ValueError, match=r"NaN or infinite in step 3, on the recordings train-\d+, .* is saved"):
        train(parse_arguments(argv))
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-00000002"]
    results = train(parse_arguments([*argv, "--resume", "true", "--on_nonfinite", "skip"]))
    assert results["skipped_steps"] == 1
    assert [row["step"] for row in logged(tmp_path)] == ["1", "2"]


def test_checkpoints_go_when_the_run_is_finished(arguments, whole, tmp_path):
    """A run that was stopped resumes all the same; a finished one is not begun anew."""
    config = tmp_path / "default.yaml"
    config.write_text(CONFIG.replace("keep_checkpoints: 2\n", ""))
    argv = [SMALL, str(config), *arguments[2:], "--output_dir", str(tmp_path / "run"), "--epochs", "2"]
    with pytest.raises(ValueError, match="NaN or infinite in step 3"):
        train(parse_arguments([*argv, "--learning_rate", "1e30"]))
    resume = [*argv, "--learning_rate", "1e30", "--resume", "true", "--on_nonfinite", "skip"]
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["step-00000002"]
    train(parse_arguments(resume))
    assert (tmp_path / "run" / "results.json").is_file()
    assert not (tmp_path / "run" / "checkpoints").exists()
    with pytest.raises(DataError, match="run is finished and its checkpoints are removed"):
        train(parse_arguments(resume))
    assert (tmp_path / "run" / "results.json").is_file()


@pytest.mark.parametrize(
    ("options", "steps"),
    [
        (["--checkpoint_epochs", "2"], [6, 12, 15]),
        (["--checkpoint_epochs", "0"], [15]),
        (["--checkpoint_epochs", "0", "--checkpoint_steps", "3"], [3, 6, 9, 12, 15]),
    ],
    ids=["every second epoch", "the last alone", "by steps alone"],
)
def test_epochs_between_checkpoints(options, steps, arguments, tmp_path):
    """Five epochs of three steps; what is kept has the last one in any case."""
    argv = [*arguments, "--output_dir", str(tmp_path), "--epochs", "5", "--checkpoint_steps", "0"]
    train(parse_arguments([*argv, "--keep_checkpoints", "9", *options]))
    names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert names == [f"step-{step:08d}" for step in steps]


def test_resumes_between_epochs_that_have_checkpoints(arguments, whole, workers, tmp_path):
    argv = [*arguments, "--output_dir", str(tmp_path), "--resume", "true"]
    argv += ["--checkpoint_steps", "0", "--checkpoint_epochs", "3"]
    worker = workers.Process(target=work, args=(argv,))
    worker.start()
    while len(logged(tmp_path)) < 14 and worker.is_alive():  # in the fifth epoch, from which it goes back to the third
        time.sleep(0.005)
    worker.kill()
    worker.join()
    assert worker.exitcode == -9
    assert [path.name for path in (tmp_path / "checkpoints").glob("step-*")] == ["step-00000009"]
    train(parse_arguments(argv))
    assert_same_run(tmp_path, whole)
