"""The README's lines on using a model do what they say, typed as they stand."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
USE = README.split("## Use a model\n")[1].split("\n## ")[0]
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", USE, re.DOTALL)


@pytest.fixture(scope="module")
def desk(tmp_path_factory, tiny_run):
    """A folder with what the lines speak of, a small run in the place of the real one."""
    folder = tmp_path_factory.mktemp("desk")
    shutil.copytree(tiny_run, folder / "runs" / "ravdess")
    shutil.copytree(tiny_run.parent / "corpus", folder / "data" / "ravdess")
    (folder / "recordings").mkdir()
    tone = 0.1 * np.sin(np.arange(32_000) / 20)
    for name in ("speech.wav", "meeting.flac", "a.wav", "b.flac", "recordings/one.wav"):
        soundfile.write(folder / name, tone, 16_000)
    return folder


def run(command, folder, **options):
    environment = {
        **os.environ,
        "CUDA_VISIBLE_DEVICES": "",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment, **options)


@pytest.mark.parametrize("code", [code for language, code in BLOCKS if language == "python"])
def test_python(code, desk):
    """Every line runs, and what is called answers."""
    shown = re.sub(r"^(classify\(.*)", r"print(\1)", code, flags=re.MULTILINE)
    result = run([sys.executable, "-c", shown], desk)
    assert result.returncode == 0, result.stderr[-2000:]
    assert result.stdout.count("score") >= shown.count("print(")


@pytest.mark.parametrize("line", [line for language, code in BLOCKS if not language for line in code.splitlines()])
def test_at_the_prompt(line, desk):
    result = run(line, desk, shell=True)
    assert result.returncode == 0, result.stderr[-2000:]
    if "--json" in line:
        assert all(json.loads(row)["label"] for row in result.stdout.splitlines())
    assert result.stdout
