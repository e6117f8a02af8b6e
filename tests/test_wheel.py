"""The wheel that is built holds the package and its command, and works outside this folder."""

import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from configparser import ConfigParser
from pathlib import Path

import pytest
import soundfile

import m4ser
from m4ser import M4SERPipeline

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
    held = {path.relative_to(unpacked).as_posix() for path in unpacked.rglob("*") if path.is_file()}
    assert {path for path in held if not path.startswith(f"{info}/")} == source
    assert {f"{info}/licenses/LICENSE", "m4ser/py.typed"} <= held
    scripts = ConfigParser()
    scripts.read(unpacked / info / "entry_points.txt")
    assert dict(scripts["console_scripts"]) == {"m4ser": "m4ser_cli:main"}


def test_wheel_predicts_on_its_own(unpacked, tiny_run, tmp_path):
    soundfile.write(tmp_path / "tone.wav", [0.0, 0.5, 0.0, -0.5] * 4000, 16000)
    options = ["tone.wav", "--model", str(tiny_run), "--text", "hello", "--json"]
    result = subprocess.run(
        [sys.executable, "-ISc", COMMAND, unpacked, sysconfig.get_path("purelib"), "predict", *options],
        cwd=tmp_path,
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    row = {"path": str(tmp_path / "tone.wav"), "text": "hello"}
    expected = {item["label"]: item["score"] for item in M4SERPipeline.from_pretrained(tiny_run)(row)}
    assert json.loads(result.stdout)["scores"] == pytest.approx(expected, abs=1e-6)
