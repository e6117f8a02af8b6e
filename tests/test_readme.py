"""The README's lines on using a model run as they stand."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import datasets
import numpy as np
import pytest
import soundfile

from m4ser.data.synthetic import write_corpus
from m4ser.demo import RUNS, predict_in_new_process, train_one

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
USE = README.split("## Use a model\n")[1].split("\n## ")[0]
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", USE, re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tiny_run):
    """A folder with the files that the lines name: the demo's model, and a small run instead of the real one."""
    folder = tmp_path_factory.mktemp("readme")
    demo = folder / "runs" / "demo"
    write_corpus(demo / "corpus")
    rows = datasets.load_dataset(str(demo / "corpus"), split="test")
    predict_in_new_process(train_one("M4SER", RUNS["M4SER"], demo, epochs=12), rows[0], demo)
    shutil.copytree(tiny_run, folder / "runs" / "ravdess")
    shutil.copytree(tiny_run.parent / "corpus", folder / "data" / "ravdess")
    (folder / "recordings").mkdir()
    tone = 0.1 * np.sin(np.arange(32_000) / 20)
    for name in ("speech.wav", "meeting.flac", "a.wav", "b.flac", "recordings/one.wav"):
        soundfile.write(folder / name, tone, 16_000)
    (folder / "meeting.rttm").write_text("SPEAKER meeting 1 0.5 1 <NA> <NA> ann <NA> <NA>\n")
    return folder


def run(command, folder, **options):
    environment = {
        **os.environ,
        "CUDA_VISIBLE_DEVICES": "",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment, **options)


@pytest.mark.parametrize("code", [code for language, code in BLOCKS if language == "python"])
def test_python(code, folder):
    """Every line runs, and every call returns scores."""
    shown, calls = re.subn(r"^(classify\(.*)", r"print('RESULT', \1)", code, flags=re.MULTILINE)
    result = run([sys.executable, "-c", shown], folder)
    assert result.returncode == 0, result.stderr[-2000:]
    printed = [line for line in result.stdout.splitlines() if line.startswith("RESULT")]
    assert len(printed) == calls and all("'score': " in line for line in printed)


def test_first_example_prints_what_is_shown(folder):
    (_, code), (language, shown) = BLOCKS[:2]
    assert language == "text" and "runs/demo/M4SER" in code
    assert run([sys.executable, "-c", code], folder).stdout == shown


@pytest.mark.parametrize("code", [code for language, code in BLOCKS if not language])
def test_commands(code, folder):
    """The lines of a block in their order: some need the files of those before them."""
    for line in code.splitlines():
        result = run(line, folder, shell=True)
        assert result.returncode == 0 and result.stdout, result.stderr[-2000:]
        if "--json" in line:
            assert all(json.loads(row)["label"] for row in result.stdout.splitlines())
