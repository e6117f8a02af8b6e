"""Who may import whom, and that the folder that ships stands alone."""

import ast
import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import m4ser
from m4ser.data import schema

ROOT = Path(__file__).parents[1]
MODEL_FILES = sorted((ROOT / "src" / "m4ser" / "model").glob("*_m4ser.py"))
SHIPPED_WITH = {"torch", "transformers", "numpy"}
GUARDED = {"soundfile", "soxr"}  # missing where only arrays at the model's rate are read


def check_contracts(root):
    """Run import-linter on the package in `root`/src."""
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--config", root / "pyproject.toml"]
    environment = os.environ | {"PYTHONPATH": str(root / "src")}
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)


def test_layers_hold():
    result = check_contracts(ROOT)
    assert result.returncode == 0, result.stdout
    assert " 0 broken" in result.stdout


@pytest.mark.parametrize(
    ("file", "line", "complaint"),
    [
        ("stray.py", "", "m4ser.stray"),
        ("model/stray.py", "import m4ser.data.schema", "m4ser.model is not allowed to import m4ser.data"),
        (
            "evaluation/stray.py",
            "from ..training import loop",
            "m4ser.evaluation is not allowed to import m4ser.training",
        ),
        ("data/stray.py", "import m4ser_cli", "m4ser is not allowed to import m4ser_cli"),
    ],
    ids=["in no layer", "above the model", "evaluation above training", "the commands"],
)
def test_stray_module_breaks_the_layers(file, line, complaint, tmp_path):
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    path = tmp_path / "src" / "m4ser" / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(line)
    result = check_contracts(tmp_path)
    assert result.returncode == 1
    assert complaint in " ".join(result.stdout.split())


def imports(tree):
    """(package or "" for a sibling, whether it stands in a try) of each import, wherever it is."""
    guarded = {id(node) for block in ast.walk(tree) if isinstance(block, ast.Try) for node in ast.walk(block)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name.split(".")[0], id(node) in guarded) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module.split(".")[0], id(node) in guarded
        elif isinstance(node, ast.ImportFrom):
            # Only `from .sibling import name` is copied along when a model is saved.
            assert node.level == 1 and node.module and "." not in node.module, ast.unparse(node)
            assert f"{node.module}.py" in {path.name for path in MODEL_FILES}, ast.unparse(node)


@pytest.mark.parametrize("path", MODEL_FILES, ids=lambda path: path.name)
def test_shipped_file_imports_little(path):
    for package, guarded in imports(ast.parse(path.read_text())):
        known = package in SHIPPED_WITH or package in sys.stdlib_module_names or (guarded and package in GUARDED)
        assert known, f"{path.name} imports {package}"
        assert package != "m4ser"


def test_shipped_files_were_found():
    assert {"modeling_m4ser.py", "configuration_m4ser.py", "processing_m4ser.py", "pipeline_m4ser.py"} <= {
        path.name for path in MODEL_FILES
    }


def loaded(*packages, by):
    """Those of `packages` that a new process has loaded after the statement `by`."""
    code = f"import json, sys\n{by}\nprint(json.dumps([name for name in {packages} if name in sys.modules]))"
    return json.loads(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout)


def test_help_loads_no_library():
    assert loaded("m4ser", "torch", "transformers", "numpy", by="import m4ser_cli") == []


def test_import_does_not_load_datasets():
    assert loaded("torch", "datasets", "pyarrow", by="import m4ser") == ["torch"]
    assert m4ser.DataError is schema.DataError
    with pytest.raises(AttributeError, match="no attribute 'DataErr'"):
        m4ser.DataErr  # noqa: B018


def test_help_takes_less_than_a_second():
    def seconds():
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime  # of the processor: the clock also counts the waiting for it

    before = seconds()
    subprocess.run([Path(sys.executable).with_name("m4ser"), "--help"], check=True, capture_output=True)
    assert seconds() - before < 1
