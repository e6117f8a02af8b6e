"""The code of the README and the guides runs as it stands, and its links lead somewhere.

Commands are typed by the rehearsal, which `tests/experiments/test_rehearsal.py` compares with the pages; those that
use a model, here too.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path
from urllib.request import urlopen

import datasets
import numpy as np
import pytest
import soundfile
import yaml

from m4ser.data.synthetic import write_corpus
from m4ser.demo import RUNS, predict_in_new_process, train_one
from tests.documents import PAGES, PROGRAMS, ROOT, blocks, commands
from tests.saved_models import save_tiny_model
from tests.tiny_whisper import save_tiny_whisper
from tests.warm_python import warm

USE, SERVE = "docs/guides/use.md", "docs/guides/serving.md"
# How the blocks of a language are checked: "python" and "bash" run, "text" is compared with what is printed.
LANGUAGES = {"bash", "csv", "math", "python", "text", "yaml"}
SCRIPTS = list(dict.fromkeys(block.code for block in blocks("python") if not block.title and block.page != SERVE))
SHOWN = {code.code: shown.code for code, shown in pairwise(blocks()) if shown.language == "text"}
FILES = {block.title: block.code for block in blocks() if block.title}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tiny_run):
    """A folder with the files that the lines name: the demo's model, and a small run instead of the real one."""
    folder = tmp_path_factory.mktemp("readme")
    demo = folder / "runs" / "demo"
    write_corpus(demo / "corpus")
    rows = datasets.load_dataset(str(demo / "corpus"), split="test")
    predict_in_new_process(train_one("M4SER", RUNS["M4SER"], demo, epochs=6), rows[0], demo)  # half of the demo's
    shutil.copytree(tiny_run, folder / "runs" / "ravdess")
    shutil.copytree(tiny_run.parent / "corpus", folder / "data" / "ravdess")
    save_tiny_model(folder / "runs" / "recognition", auxiliary_tasks=["detection", "correction", "recognition"])
    (folder / "recordings").mkdir()
    tone = 0.1 * np.sin(np.arange(32_000) / 20)
    for name in ("speech.wav", "meeting.flac", "a.wav", "b.flac", "recordings/one.wav"):
        soundfile.write(folder / name, tone, 16_000)
    (folder / "meeting.rttm").write_text("SPEAKER meeting 1 0.5 1 <NA> <NA> ann <NA> <NA>\n")
    return folder


def environment():
    path = f"{Path(warm('python')).parent}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {**os.environ, "CUDA_VISIBLE_DEVICES": "", "PATH": path}


def run(command, folder, **options):
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment(), **options)


@pytest.mark.parametrize("code", SCRIPTS)
def test_python(code, folder):
    """Every line runs, every call returns scores, and what is shown is what is printed."""
    shown, calls = re.subn(r"^(classify\(.*)", r"print('RESULT', \1)", code, flags=re.MULTILINE)
    result = run([warm("python"), "-c", shown], folder)
    assert result.returncode == 0, result.stderr[-2000:]
    printed = [line for line in result.stdout.splitlines() if line.startswith("RESULT")]
    assert len(printed) == calls and all("'score': " in line for line in printed)
    assert code not in SHOWN or result.stdout == SHOWN[code]


def test_all_output_that_is_shown_is_compared():
    assert set(SHOWN) <= set(SCRIPTS)
    assert len(SHOWN) == len({block.code for block in blocks("text")}) == 2


@pytest.mark.parametrize("code", [block.code for block in blocks("bash") if block.page == USE])
def test_commands(code, folder):
    """The lines of a block in their order: some need the files of those before them."""
    for line in code.splitlines():
        result = run(line, folder, shell=True)
        assert result.returncode == 0 and result.stdout, result.stderr[-2000:]
        if "--json" in line:
            assert all(json.loads(row)["label"] for row in result.stdout.splitlines())


def test_client_of_the_server(tiny_folder, tmp_path):
    (code,) = (block.code for block in blocks("python") if block.page == SERVE)
    save_tiny_whisper(tmp_path / "whisper")
    soundfile.write(tmp_path / "meeting.flac", 0.1 * np.sin(np.arange(7 * 16_000) / 20), 16_000)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    options = ["--model", tiny_folder, "--asr", tmp_path / "whisper", "--port", port]
    with subprocess.Popen([warm("python"), "-m", "m4ser_cli", "serve", *options], env=environment()) as server:
        try:
            wait_for(f"http://127.0.0.1:{port}/health", server)
            result = run([warm("python"), "-c", code.replace("8000", port)], tmp_path)
        finally:
            server.terminate()
    assert result.returncode == 0, result.stderr[-2000:]
    assert [line.split()[:2] for line in result.stdout.splitlines()] == [["0.0", "5.0"], ["5.0", "7.0"]]


def wait_for(address, server):
    for _ in range(1200):
        assert server.poll() is None, "the server ended"
        try:
            urlopen(address, timeout=5).close()
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError("the server does not respond")


class TestAdding:
    """The files of the guide on adding."""

    def test_system_is_the_one_that_the_tests_train(self):
        assert FILES["src/m4ser/systems/toy.py"] == (ROOT / "tests" / "systems" / "toy.py").read_text()
        assert yaml.safe_load(FILES["configs/systems/toy.yaml"]) == {"name": "toy", "system": "toy"}

    def test_corpus_is_built(self, tmp_path):
        for emotion in ("angry", "calm"):
            (tmp_path / "raw" / emotion).mkdir(parents=True)
            for speaker in ("ann", "ben", "cleo"):
                soundfile.write(tmp_path / "raw" / emotion / f"{speaker}-01.wav", [0.0, 0.5] * 8000, 16_000)
        code = FILES["src/m4ser/corpora/folders.py"] + "\nmain()\n"
        result = run([warm("python"), "-c", code, "--data_dir", "raw", "--output_dir", "built"], tmp_path)
        assert result.returncode == 0, result.stderr[-2000:]
        built = datasets.load_dataset(str(tmp_path / "built"))
        assert {split: rows["speaker"] for split, rows in built.items()} == {
            "train": ["ann"] * 2,
            "validation": ["ben"] * 2,
            "test": ["cleo"] * 2,
        }

    def test_loss_is_the_one_that_the_tests_train(self):
        shown = FILES["src/m4ser/losses.py"]
        tested = (ROOT / "tests" / "systems" / "test_adding.py").read_text()
        assert all(line in tested for line in shown.splitlines() if line.startswith(("    return", "OBJECTIVES")))
        assert run([warm("python"), "-c", shown], ROOT).returncode == 0

    def test_manifest_has_the_columns_of_its_builder(self):
        header, *rows = FILES["recordings.csv"].splitlines()
        assert header == "path,emotion,transcript,speaker" and all(row.count(",") == 3 for row in rows)


def test_every_block_is_checked():
    """A block has a language that says how, a file's block is one that a test above names, a command a program."""
    assert {block.language for block in blocks()} <= LANGUAGES
    assert set(FILES) == {
        "configs/systems/toy.yaml",
        "recordings.csv",
        "src/m4ser/corpora/folders.py",
        "src/m4ser/losses.py",
        "src/m4ser/systems/toy.py",
    }
    assert all(command.startswith(PROGRAMS) for command in commands())
    assert not [block for block in blocks("csv", "yaml") if not block.title]


def test_no_fence_escapes():
    found = Counter(block.page for block in blocks())
    for page in PAGES:
        fences = page.read_text(encoding="utf-8").count("\n```")
        assert fences == 2 * found[page.relative_to(ROOT).as_posix()], page


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_lead_to_files(name):
    """Those of the site are checked when it is built."""
    links = re.findall(r"\]\(([^)#\s]+)", (ROOT / name).read_text(encoding="utf-8"))
    assert not [link for link in links if not link.startswith("http") and not (ROOT / link).exists()]
