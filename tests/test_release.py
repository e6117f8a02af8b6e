"""What `make release` does before it installs anything: interpreters, notes, and files that are whole."""

import runpy
import sys
import zipfile
from pathlib import Path

import pytest

from m4ser import __version__

ROOT = Path(__file__).parents[1]
CHANGELOG = "# Changelog\n\n## [Unreleased]\n{}\n## [1.2.0] - 2026-01-01\n\n### Added\n\n- B.\n\n## 1.1.0\n\n- A.\n"


@pytest.fixture(scope="module")
def release():
    return runpy.run_path(str(ROOT / ".ci" / "release.py"))


def test_notes_are_the_section_of_the_version(release):
    notes = release["release_notes"]
    assert notes(CHANGELOG.format(""), "1.2.0") == ("# m4ser 1.2.0\n\n### Added\n\n- B.\n", None)
    assert notes(CHANGELOG.format(""), "1.1.0") == ("# m4ser 1.1.0\n\n- A.\n", None)
    with pytest.raises(SystemExit, match=r"CHANGELOG\.md has no section 1\.3\.0"):
        notes(CHANGELOG.format(""), "1.3.0")


def test_unreleased_changes_are_noted_with_a_warning(release):
    text, warning = release["release_notes"](CHANGELOG.format("\n- New.\n"), "1.3.0")
    assert text == "# m4ser 1.3.0\n\n- New.\n" and "head them with version and date" in warning


def test_missing_interpreter_is_named(release, monkeypatch, tmp_path):
    shim = tmp_path / "python3.99"  # as pyenv's, which is there without its interpreter
    shim.write_text("#!/bin/sh\nexit 127\n")
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    with pytest.raises(SystemExit, match=r"there is no Python 3\.99 here: install it"):
        release["find_interpreter"]("3.99")
    with pytest.raises(SystemExit, match="is no Python interpreter"):
        release["check_interpreter"](str(shim))
    assert release["check_interpreter"](sys.executable) == sys.executable


def test_wheel_of_sdist_has_the_configs(release, tmp_path):
    release["build"].__globals__["DIST"] = tmp_path / "dist"
    wheel = release["build"](__version__)
    names = zipfile.ZipFile(wheel).namelist()
    assert {"m4ser_cli.py", "m4ser/starter.py", "m4ser/configs/recordings.yaml"} <= set(names)
    assert sorted(path.name for path in wheel.parent.iterdir()) == [wheel.name, f"m4ser-{__version__}.tar.gz"]
