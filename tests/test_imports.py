"""Who may import whom, and that the folder that ships stands alone."""

import ast
import json
import resource
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


def test_the_import_table():
    command = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run([command, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout
    assert " 0 broken" in result.stdout


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
def test_what_ships_imports_little(path):
    for package, guarded in imports(ast.parse(path.read_text())):
        known = package in SHIPPED_WITH or package in sys.stdlib_module_names or (guarded and package in GUARDED)
        assert known, f"{path.name} imports {package}"
        assert package != "m4ser"


def test_every_module_was_looked_at():
    assert {"modeling_m4ser.py", "configuration_m4ser.py", "processing_m4ser.py", "pipeline_m4ser.py"} <= {
        path.name for path in MODEL_FILES
    }


def loaded(*packages, by):
    """Those of `packages` that a new process has loaded after the statement `by`."""
    code = f"import json, sys\n{by}\nprint(json.dumps([name for name in {packages} if name in sys.modules]))"
    return json.loads(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout)


def test_the_commands_load_m4ser_only_when_one_of_them_runs():
    assert loaded("m4ser", "torch", "transformers", "numpy", by="import m4ser_cli") == []


def test_m4ser_does_not_wait_for_the_libraries_of_data_sets():
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
