"""The notebooks run as they stand, on less data and for fewer epochs, and are kept without outputs."""

import os
import sys
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")

NOTEBOOKS = sorted((Path(__file__).parents[1] / "examples").glob("*.ipynb"))
# Instead of the cell that has the tag "parameters".
SMALL = 'SIZES = {"train": 80, "validation": 20, "test": 40}\nCOUNT = 80\nEPOCHS = 1'


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder for all of them: the second finds the model that the first has trained."""
    return tmp_path_factory.mktemp("examples")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_without_outputs(path):
    """They would differ from machine to machine, and hide a change of the text behind figures."""
    code = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in code)
    assert sum("parameters" in cell.metadata.get("tags", ()) for cell in code) == 1


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path, folder, monkeypatch):
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    book = nbformat.read(path, as_version=4)
    for cell in book.cells:
        if "parameters" in cell.metadata.get("tags", ()):
            cell.source = SMALL
    client = nbclient.NotebookClient(
        book, timeout=600, kernel_name="python3", resources={"metadata": {"path": folder}}
    )
    client.execute()
    drawing = [cell for cell in book.cells if "plt.show()" in cell.source or "Image(" in cell.source]
    assert drawing
    for cell in drawing:
        assert any("image/png" in output.get("data", {}) for output in cell.outputs), cell.source
