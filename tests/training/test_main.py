"""The command of training: what is wrong is one sentence."""

import os

import pytest

from m4ser.training.main import main
from tests.tiny_corpus import SMALL, write_tiny_corpus


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


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_output_folder_that_cannot_be_written(argv, tmp_path):
    tmp_path.chmod(0o500)
    assert "Permission denied" in refused([*argv, "--output_dir", str(tmp_path / "run")])


@pytest.mark.parametrize("name", ["--text_encoder", "--speech_encoder", "--init_from"])
def test_missing_encoder_is_named_at_once(name, argv, tmp_path):
    others = [] if name == "--init_from" else ["--speech_encoder", "org/a", "--text_encoder", "org/b"]
    message = refused([*argv, "--output_dir", str(tmp_path), *others, name, "./nowhere"])
    assert message == f"train.py: There is no {name} ./nowhere: no such folder."


def test_debug_shows_the_traceback(argv, tmp_path):
    with pytest.raises(ValueError, match="no such folder"):
        main([*argv, "--output_dir", str(tmp_path), "--init_from", "./nowhere", "--debug"])
