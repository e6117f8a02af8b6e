"""Every fold and seed from one command: finished runs stay, cut ones go on, and the summary is right."""

import json
import os
import shutil
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev

import pytest

from m4ser.claims import Observer
from m4ser.data.builders.writing import write_dataset
from m4ser.data.schema import DataError
from m4ser.training.arguments import parse_arguments
from m4ser.training.loop import train
from m4ser.training.runs import runs, train_all, train_one
from tests.tiny_corpus import LABELS, SMALL, sessions, write_sessions
from tests.warm_python import warm

ROOT = Path(__file__).parents[2]
ON_CPU = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
NAMES = [f"fold{fold}_seed{seed}" for fold in (1, 2, 3) for seed in (0, 1)]


@pytest.fixture(scope="module")
def argv(tmp_path_factory):
    """A small network on a corpus of three sessions."""
    corpus = write_sessions(tmp_path_factory.mktemp("sessions") / "corpus", 3)
    return [SMALL, "--dataset", str(corpus), "--protocol", "loso", "--keep_checkpoints", "1"]


def test_all_folds_and_seeds_then_the_missing_one(argv, tmp_path):
    command = [warm("python"), "train.py", *argv, "--fold", "all", "--seeds", "0", "1", "--output_dir", str(tmp_path)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=ON_CPU)
    assert result.returncode == 0, result.stderr
    assert "mean and standard deviation of 6 runs" in result.stdout
    names = NAMES
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


def test_run_finished_before_there_was_an_argument_is_kept(argv, tmp_path):
    """It was trained by the argument's default."""
    options = parse_arguments([*argv, "--fold", "1", "--seeds", "0", "--output_dir", str(tmp_path)])
    (run,) = runs(options)
    train(run)
    path = tmp_path / "fold1_seed0" / "results.json"
    results = json.loads(path.read_text())
    del results["config"]["objective"]["loss_reduction"]
    path.write_text(json.dumps(results))
    written = path.stat().st_mtime_ns
    train_all(options)
    assert path.stat().st_mtime_ns == written
    other = parse_arguments([*argv, "--fold", "1", "--loss_reduction", "sum", "--output_dir", str(tmp_path)])
    with pytest.raises(DataError, match="its loss_reduction was 'mean' and is 'sum' now"):
        train_all(replace(other, training=replace(other.training, seeds=[0])))


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


def counted(log):
    """Run train.py, and note each run that is begun, and each that is finished."""
    return f"""
import os, sys
from m4ser.training import main, runs
def noted(arguments, train=runs.train):
    with open({str(log)!r}, "a") as file:
        run, command = os.path.basename(arguments.training.output_dir), os.environ.get("COMMAND")
        print("begun", run, command, file=file, flush=True)
        results = train(arguments)
        print("finished", run, command, file=file, flush=True)
    return results
runs.train = noted
main.main(sys.argv[1:])
"""


def lines(log):
    return [line.split() for line in log.read_text().splitlines()] if log.exists() else []


def wait_until(condition, process):
    while not condition() and process.poll() is None:
        time.sleep(0.02)
    assert process.poll() is None


def test_two_commands_share_the_runs_and_one_is_killed(argv, tmp_path):
    """Every run is finished once, the killed one's too, and the summary is that of one command."""
    # Long enough that the other command does not end before one is killed.
    options = [*argv, "--fold", "all", "--seeds", "0", "1", "--epochs", "3", "--output_dir"]
    log, shared = tmp_path / "log", tmp_path / "shared"
    command = [warm("python"), "-c", counted(log), *options, str(shared)]
    started = [
        subprocess.Popen(command, cwd=ROOT, env=ON_CPU | {"COMMAND": name}, stderr=subprocess.PIPE, text=True)
        for name in ("first", "second")
    ]
    wait_until(lambda: len({line[2] for line in lines(log)}) == 2, started[0])
    owner = {line[1]: line[2] for line in lines(log) if line[0] == "begun"}
    (victim,) = [name for name, command in owner.items() if command == "first"][-1:]
    wait_until((shared / victim / "metrics.csv").exists, started[0])
    started[0].kill()
    started[0].communicate()
    _, error = started[1].communicate(timeout=300)
    assert started[1].returncode == 0, error[-2000:]
    assert sorted(name for what, name, _ in lines(log) if what == "finished") == NAMES
    begun = [name for what, name, _ in lines(log) if what == "begun"]
    assert sorted(begun) == sorted([*NAMES, victim])
    summary = json.loads((shared / "summary.json").read_text())
    alone = train_all(parse_arguments([*options, str(tmp_path / "alone")]))
    assert (summary["runs"], summary["splits"]) == (alone["runs"], alone["splits"])
    assert not list(shared.rglob(".claim-*"))


@pytest.mark.parametrize("count", [2, 4])
def test_processes_of_one_command_write_summaries_together(argv, tmp_path, count):
    """Finished runs are summed up twenty times by several processes, which used to write one temporary file."""
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\nfrom m4ser.training.arguments import parse_arguments\nfrom m4ser.training.runs import train_all\n"
        "from m4ser.processes import disconnect\n"
        "for _ in range(int(sys.argv[1])):\n    train_all(parse_arguments(sys.argv[2:]))\n"
        "disconnect()\n"
    )
    options = [*argv, "--fold", "1", "--seeds", "0", "--batch_size", "1", "--output_dir", str(tmp_path / "runs")]
    launch = [warm("python"), "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(count)]
    result = subprocess.run([*launch, script, "20", *options], cwd=ROOT, capture_output=True, text=True, env=ON_CPU)
    assert result.returncode == 0, result.stderr[-2000:]
    assert json.loads((tmp_path / "runs" / "fold1_seed0" / "results.json").read_text())["processes"] == count
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["fold1_seed0", "summary.json"]


def test_second_run_into_a_folder_is_refused(argv, tmp_path):
    """While the first one trains; once it was killed, its folder is free."""
    log = tmp_path / "log"
    options = [*argv, "--fold", "1", "--epochs", "500", "--output_dir", str(tmp_path / "run")]
    first = subprocess.Popen([warm("python"), "-c", counted(log), *options], cwd=ROOT, env=ON_CPU)
    wait_until(lambda: lines(log), first)
    with pytest.raises(DataError, match=r"Another process is training into .*run; give another --output_dir"):
        train_one(parse_arguments(options))
    first.kill()
    first.wait()
    train_one(parse_arguments([*options, "--epochs", "1", "--overwrite", "true"]))
    assert (tmp_path / "run" / "results.json").exists()


def test_run_of_another_process_is_waited_for(argv, tmp_path):
    """Its results are taken as they are."""
    options = parse_arguments([*argv, "--fold", "1", "--seeds", "0", "--output_dir", str(tmp_path / "runs")])
    (run,) = runs(options)
    train(replace(run, training=replace(run.training, output_dir=str(tmp_path / "fold1_seed0"))))
    claim = Observer().claim(tmp_path / "runs" / "fold1_seed0")
    script = "import sys; from m4ser.training.main import main; main(sys.argv[1:])"
    command = [warm("python"), "-c", script, *argv, "--fold", "1", "--seeds", "0"]
    command += ["--output_dir", str(tmp_path / "runs")]
    other = subprocess.Popen(command, cwd=ROOT, env=ON_CPU, stderr=subprocess.PIPE, text=True)
    assert any("Waiting for the runs that other processes have" in line for line in other.stderr)
    shutil.copytree(tmp_path / "fold1_seed0", tmp_path / "runs" / "fold1_seed0", dirs_exist_ok=True)
    claim.release()
    other.communicate()
    assert other.returncode == 0
    # Its seconds and its command among them: the other process has not trained it.
    given, kept = (folder / "fold1_seed0" / "results.json" for folder in (tmp_path, tmp_path / "runs"))
    assert kept.read_bytes() == given.read_bytes()
