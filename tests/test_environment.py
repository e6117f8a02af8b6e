"""What is noted of the environment."""

import subprocess

import pytest

from tests.warm_python import warm


@pytest.mark.parametrize("typed", ["typed.py --epochs 2", "-m typed --epochs 2", "-m package --epochs 2"])
def test_command_is_what_was_typed(typed, tmp_path):
    (tmp_path / "package").mkdir()
    for path in ("typed.py", "package/__main__.py"):
        (tmp_path / path).write_text("from m4ser.environment import command\nprint(command())")
    result = subprocess.run([warm("python"), *typed.split()], cwd=tmp_path, capture_output=True, text=True)
    assert result.stdout.strip() == typed, result.stderr
