"""Build wheel and sdist into dist/, check them on the oldest and the newest Python, and write dist/notes.md.

    make release
    make release PYTHONS="/usr/bin/python3.10 /usr/bin/python3.13"

The wheel is built from the sdist, so that both hold everything. In an environment of its own for each Python it is
installed with constraints.txt, and has to give its version, and the scores that this environment gives for a saved
model. The notes are the section of CHANGELOG.md for the version.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import wave
from pathlib import Path

ROOT = Path(__file__).parents[1]
DIST = ROOT / "dist"
CONSTRAINTS = ROOT / "constraints.txt"
OLDEST_AND_NEWEST = ("3.10", "3.13")
UNRELEASED = "[Unreleased]"
TOLERANCE = 1e-4
SAVE = "import sys; from tests.saved_models import save_tiny_model; save_tiny_model(sys.argv[1])"
IMPORT = "import m4ser, sys; print(m4ser.__version__, m4ser.__file__)"


def main(pythons: list[str]) -> None:
    """Release with these interpreters, or those found for the two versions."""
    interpreters = [check_interpreter(name) for name in pythons] or [find_interpreter(v) for v in OLDEST_AND_NEWEST]
    version = re.search(r'__version__ = "(.+)"', (ROOT / "src/m4ser/__init__.py").read_text()).group(1)
    notes, warning = release_notes((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), version)
    wheel = build(version)
    with tempfile.TemporaryDirectory(prefix="m4ser-release-") as name:
        folder = Path(name)
        save_inputs(folder)
        expected = predict([sys.executable, "-m", "m4ser_cli"], folder)
        for interpreter in interpreters:
            check(wheel, version, interpreter, folder, expected)
    (DIST / "notes.md").write_text(notes, encoding="utf-8")
    print("\n".join(f"{path.relative_to(ROOT)}  {path.stat().st_size:,} bytes" for path in sorted(DIST.iterdir())))
    if warning:
        print(warning, file=sys.stderr)


def find_interpreter(version: str) -> str:
    """Return an interpreter of this version, from the path or pyenv; exit with what to do where there is none."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    for candidate in (shutil.which(f"python{version}"), *sorted(pyenv.glob(f"{version}.*/bin/python"))):
        if candidate and version_of(candidate) == version:  # the shims of pyenv are there without an interpreter, too
            return str(candidate)
    sys.exit(
        f"release: there is no Python {version} here: install it, as `pyenv install {version}` does, or name the "
        'interpreters to check with, make release PYTHONS="PYTHON ...".'
    )


def check_interpreter(name: str) -> str:
    """Return an interpreter's path if it runs; exit otherwise."""
    path = shutil.which(name)
    if not path or not version_of(path):
        sys.exit(f"release: {name} is no Python interpreter.")
    return path


def version_of(interpreter: str | Path) -> str | None:
    """Return an interpreter's version as 3.10, or None if it does not run."""
    command = [interpreter, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    result = subprocess.run(command, capture_output=True, text=True)
    return result.stdout.strip() if result.returncode == 0 else None


def release_notes(changelog: str, version: str) -> tuple[str, str | None]:
    """Return the notes of a version, and a warning where they stand under [Unreleased] still."""
    parts = re.split(r"^## (.+)\n", changelog, flags=re.MULTILINE)[1:]
    pairs = zip(parts[::2], parts[1::2], strict=True)
    sections = {heading.split(" - ")[0].strip("[] "): text.strip() for heading, text in pairs}
    unreleased, released = sections.get(UNRELEASED.strip("[]"), ""), sections.get(version, "")
    if unreleased:
        warning = f"release: CHANGELOG.md has these changes under {UNRELEASED}: head them with version and date."
        return f"# m4ser {version}\n\n{unreleased}\n", warning
    if not released:
        sys.exit(f"release: CHANGELOG.md has no section {version}.")
    return f"# m4ser {version}\n\n{released}\n", None


def build(version: str) -> Path:
    """Build dist/ anew; return the wheel."""
    shutil.rmtree(DIST, ignore_errors=True)
    run([sys.executable, "-m", "hatchling", "build", "--target", "sdist", "--directory", DIST], cwd=ROOT)
    with tempfile.TemporaryDirectory() as name:
        with tarfile.open(DIST / f"m4ser-{version}.tar.gz") as archive:
            archive.extractall(name, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
        source = Path(name, f"m4ser-{version}")
        run([sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", DIST], cwd=source)
    return DIST / f"m4ser-{version}-py3-none-any.whl"


def save_inputs(folder: Path) -> None:
    """Save a random model, folder/model, and a recording, folder/tone.wav."""
    run([sys.executable, "-c", SAVE, folder / "model"], cwd=ROOT)
    with wave.open(str(folder / "tone.wav"), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", None))
        file.writeframes(b"\x00\x00\x00\x40\x00\x00\x00\xc0" * 4000)


def predict(command: list, folder: Path) -> dict[str, float]:
    """Return the scores of the recording with the saved model."""
    options = ["predict", "tone.wav", "--model", "model", "--text", "he was not an ill disposed young man", "--json"]
    return json.loads(run([*command, *options], cwd=folder))["scores"]


def check(wheel: Path, version: str, interpreter: str, folder: Path, expected: dict[str, float]) -> None:
    """Install the wheel in an environment of its own, and compare what it says with what it should."""
    environment = folder / "environment"
    run([interpreter, "-m", "venv", "--clear", environment], cwd=folder)
    binaries = environment / "bin"
    # torch first and by itself, as in the Makefile.
    for what in ("torch", wheel):
        run([binaries / "pip", "install", "--quiet", "--constraint", CONSTRAINTS, what], cwd=folder)
    said = run([binaries / "m4ser", "--version"], cwd=folder).strip()
    imported, file = run([binaries / "python", "-c", IMPORT], cwd=folder).split()
    scores = predict([binaries / "m4ser"], folder)
    if said != f"m4ser {version}" or imported != version or not Path(file).is_relative_to(environment):
        sys.exit(f"release: {interpreter} has {said}, imported {imported} from {file}.")
    if scores.keys() != expected.keys() or any(abs(scores[name] - expected[name]) > TOLERANCE for name in scores):
        sys.exit(f"release: {interpreter} predicts {scores}, not {expected}.")
    shutil.rmtree(environment)
    print(f"checked on Python {version_of(interpreter)}: version, import, prediction")


def run(command: list, cwd: Path) -> str:
    """Run a command without this project on its path and return its output; exit with its error."""
    outside = {name: value for name, value in os.environ.items() if name != "PYTHONPATH" or cwd == ROOT}
    quiet = {"HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": "", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    result = subprocess.run(command, cwd=cwd, env=outside | quiet, capture_output=True, text=True)
    if result.returncode:
        sys.exit(f"release: {' '.join(map(str, command))} failed:\n{(result.stderr or result.stdout)[-3000:]}")
    return result.stdout


if __name__ == "__main__":
    main(sys.argv[1:])
