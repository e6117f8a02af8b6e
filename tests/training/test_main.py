"""The command of training: what is wrong is one sentence."""

import os
import resource
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import m4ser_cli
from m4ser import M4SERModel
from m4ser.training.main import main
from tests.tiny_corpus import SMALL, write_tiny_corpus

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def argv(tmp_path_factory):
    return [SMALL, "--dataset", str(write_tiny_corpus(tmp_path_factory.mktemp("corpus")))]


def refused(argv):
    with pytest.raises(SystemExit) as raised:
        main(argv)
    return str(raised.value)


def test_output_folder_that_is_a_file(argv, tmp_path):
    (tmp_path / "file").write_text("")
    message = refused([*argv, "--output_dir", str(tmp_path / "file" / "run")])
    assert message.startswith("train.py: ") and "Not a directory" in message


def test_command_of_m4ser_trains_as_the_script_does(argv, tmp_path, monkeypatch):
    weights = []
    for command in ("train.py", "m4ser train"):
        run = tmp_path / command
        monkeypatch.setattr(sys, "argv", [*command.split(), *argv, "--output_dir", str(run)])
        if command == "train.py":
            runpy.run_path(str(ROOT / command), run_name="__main__")
        else:
            with pytest.raises(SystemExit) as ended:
                m4ser_cli.main()
            assert not ended.value.code
        weights.append((run / "model.safetensors").read_bytes())
    assert weights[0] == weights[1]


@pytest.fixture
def full_disk():
    """Files end at 100 kB, which is how a full disk looks to what writes a network; root's, too."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_full_disk(argv, tmp_path, full_disk):
    message = refused([*argv, "--output_dir", str(tmp_path / "run")])
    assert message.startswith(f"train.py: {tmp_path / 'run'} could not be written: ")
    assert message.count("\n") == 0 and "File too large" in message


def test_full_disk_at_a_checkpoint(argv, tmp_path, full_disk):
    message = refused([*argv, "--output_dir", str(tmp_path / "run"), "--batch_size", "2", "--checkpoint_steps", "1"])
    assert "could not be written" in message and "checkpoints" in message


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own, with room for so many bytes as it is called with."""
    disk = tmp_path / "disk"
    disk.mkdir()

    def resize(size):
        how = ["remount"] if disk.is_mount() else []
        command = ["mount", "-t", "tmpfs", "-o", ",".join([*how, f"size={size}"]), "none", str(disk)]
        if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
            pytest.skip("needs to mount a file system")
        return disk

    yield resize
    if disk.is_mount():
        subprocess.run(["umount", "--lazy", str(disk)], check=True)  # weights that were loaded may still be mapped


def test_full_disk_keeps_the_run_which_goes_on_when_there_is_room(argv, tmp_path, small_disk):
    argv = [*argv, "--epochs", "4", "--keep_checkpoints", "2"]
    main([*argv, "--output_dir", str(tmp_path / "whole")])
    used = sum(path.stat().st_size for path in (tmp_path / "whole").rglob("*"))
    run = small_disk(used * 7 // 10) / "run"  # for the model and one checkpoint
    message = refused([*argv, "--output_dir", str(run)])
    assert message.startswith("train.py: ") and message.count("\n") == 0 and "o space left" in message
    assert len(list((run / "checkpoints").glob("step-*"))) == 1
    M4SERModel.from_pretrained(run)
    small_disk(10 * used)
    main([*argv, "--output_dir", str(run), "--resume", "true"])
    for name in ("model.safetensors", "predictions.csv", "validation.csv"):
        assert (run / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert not list(run.rglob(".*"))


# Root writes everywhere, unless it is not allowed to.
POWERS = "-dac_override,-dac_read_search"
WITHOUT_POWERS = ["setpriv", f"--bounding-set={POWERS}", f"--inh-caps={POWERS}"] if os.geteuid() == 0 else []


@pytest.mark.skipif(bool(WITHOUT_POWERS) and not shutil.which("setpriv"), reason="root writes everywhere")
def test_output_folder_that_cannot_be_written(argv, tmp_path):
    tmp_path.chmod(0o500)
    command = [*WITHOUT_POWERS, sys.executable, "train.py", *argv, "--output_dir", str(tmp_path / "run")]
    result = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    last = result.stderr.splitlines()[-1]
    assert (result.returncode, last) == (1, f"train.py: [Errno 13] Permission denied: '{tmp_path / 'run'}'")


@pytest.mark.parametrize("name", ["--text_encoder", "--speech_encoder", "--init_from"])
def test_missing_encoder_is_named_at_once(name, argv, tmp_path):
    others = [] if name == "--init_from" else ["--speech_encoder", "org/a", "--text_encoder", "org/b"]
    message = refused([*argv, "--output_dir", str(tmp_path), *others, name, "./nowhere"])
    assert message == f"train.py: There is no {name} ./nowhere: no such folder."


def test_message_names_the_command_that_was_typed(argv, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["m4ser train"])
    message = refused([*argv, "--output_dir", str(tmp_path), "--init_from", "./nowhere"])
    assert message == "m4ser train: There is no --init_from ./nowhere: no such folder."


def test_debug_shows_the_traceback(argv, tmp_path):
    with pytest.raises(ValueError, match="no such folder"):
        main([*argv, "--output_dir", str(tmp_path), "--init_from", "./nowhere", "--debug"])
