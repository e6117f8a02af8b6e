"""The wheel that is built holds the package and its command, and works outside this folder."""

import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from configparser import ConfigParser
from pathlib import Path

import pandas as pd
import pytest
import soundfile

import m4ser
from m4ser import M4SERPipeline
from tests.tiny_whisper import save_tiny_whisper

ROOT = Path(__file__).parents[1]
# Without the site module this project's editable installation is not on the path, and the wheel alone is m4ser.
COMMAND = "import sys; sys.path[:0] = sys.argv[1:3]; del sys.argv[1:3]; from m4ser_cli import main; main()"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def unpacked(wheel, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unpacked")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def test_wheel_holds_all_modules_and_the_command(wheel, unpacked):
    assert wheel.name == f"m4ser-{m4ser.__version__}-py3-none-any.whl"
    info = f"m4ser-{m4ser.__version__}.dist-info"
    files = (path for kind in ("py", "jinja", "yaml", "typed") for path in (ROOT / "src").rglob(f"*.{kind}"))
    source = {path.relative_to(ROOT / "src").as_posix() for path in files}
    source |= {f"m4ser/{path.relative_to(ROOT).as_posix()}" for path in (ROOT / "configs").rglob("*.yaml")}
    held = {path.relative_to(unpacked).as_posix() for path in unpacked.rglob("*") if path.is_file()}
    assert {path for path in held if not path.startswith(f"{info}/")} == source
    assert {f"{info}/licenses/LICENSE", "m4ser/py.typed"} <= held
    scripts = ConfigParser()
    scripts.read(unpacked / info / "entry_points.txt")
    assert dict(scripts["console_scripts"]) == {"m4ser": "m4ser_cli:main"}


def run_wheel(unpacked, folder, *arguments):
    return subprocess.run(
        [sys.executable, "-ISc", COMMAND, unpacked, sysconfig.get_path("purelib"), *map(str, arguments)],
        cwd=folder,
        env=os.environ | {"HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": "", "HF_HOME": str(folder / "home")},
        capture_output=True,
        text=True,
    )


def write_recordings(folder):
    """Write twelve recordings, and a manifest of them."""
    lines = ["path,emotion,transcript,speaker"]
    for index in range(12):
        soundfile.write(folder / f"{index}.wav", [0.0, 0.5, 0.0, -0.5] * (1000 + 300 * index), 16000)
        lines.append(f"{index}.wav,{('calm', 'happy')[index % 2]},it is number {index},speaker{index % 4}")
    (folder / "recordings.csv").write_text("\n".join(lines) + "\n")


def test_wheel_builds_transcribes_trains_and_scores(unpacked, tmp_path):
    """From recordings to their scores, with nothing but what `pip install m4ser` brings."""
    write_recordings(tmp_path)
    save_tiny_whisper(tmp_path / "whisper")
    small = ROOT / "tests" / "small.yaml"
    build = ["build", "manifest", "--data_dir", "recordings.csv", "--output_dir", "data"]
    commands = [
        build,
        ["transcribe", "--dataset", "data", "--asr", "whisper", "--output", "hypotheses.jsonl"],
        [*build, "--hypotheses", "hypotheses.jsonl"],
        ["train", "recordings", small, "--dataset", "data", "--output_dir", "run", "--epochs", "1"],
        ["train", "recordings", small, "--dataset", "data", "--output_dir", "tuned", "--init_from", "run"],
        ["predict", "data", "--model", "tuned", "--output", "scores"],
    ]
    for command in commands:
        result = run_wheel(unpacked, tmp_path, *command)
        assert result.returncode == 0, (command, result.stdout[-500:], result.stderr[-2000:])
    assert result.stdout == "12 recordings are scored in scores.\n"
    assert {"score_calm", "score_happy"} <= set(pd.read_parquet(tmp_path / "scores").columns)


def test_wheel_predicts_on_its_own(unpacked, tiny_run, tmp_path):
    soundfile.write(tmp_path / "tone.wav", [0.0, 0.5, 0.0, -0.5] * 4000, 16000)
    options = ["tone.wav", "--model", str(tiny_run), "--text", "hello", "--json"]
    result = run_wheel(unpacked, tmp_path, "predict", *options)
    assert result.returncode == 0, result.stderr
    row = {"path": str(tmp_path / "tone.wav"), "text": "hello"}
    expected = {item["label"]: item["score"] for item in M4SERPipeline.from_pretrained(tiny_run)(row)}
    assert json.loads(result.stdout)["scores"] == pytest.approx(expected, abs=1e-6)
