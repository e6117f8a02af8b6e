"""A run, finished or not, is not lost by typing a command again; what was made of its weights goes with them."""

import json

import pytest

from m4ser import run_folder
from m4ser.data.schema import DataError
from m4ser.files import file_digest
from m4ser.training.arguments import parse_arguments
from m4ser.training.loop import train
from m4ser.training.runs import train_all
from tests.tiny_corpus import SMALL, write_tiny_corpus


@pytest.fixture(scope="module")
def argv(tmp_path_factory):
    return [SMALL, "--dataset", str(write_tiny_corpus(tmp_path_factory.mktemp("corpus")))]


def contents(folder):
    """Every file in a folder and below it, by its digest."""
    return {path.relative_to(folder): file_digest(path) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def run(argv, tmp_path):
    """A finished run with what the other commands write into its folder, and a file that is not a run's."""
    folder = tmp_path / "run"
    train(parse_arguments([*argv, "--output_dir", str(folder), "--keep_checkpoints", "1"]))
    for name in run_folder.DERIVED:
        (folder / name).write_text("{}")
    (folder / "notes.txt").write_text("mine")
    return folder


def test_finished_run_is_kept(argv, run):
    before = contents(run)
    assert any("checkpoints" in path.parts for path in before)
    with pytest.raises(
        DataError, match=r"run holds a run or a model; .* --resume true .* --overwrite true to lose it"
    ):
        train(parse_arguments([*argv, "--output_dir", str(run)]))
    assert contents(run) == before


def test_unfinished_run_is_kept(argv, run):
    run_folder.discard_results(run)
    (run / "config.json").unlink()
    before = contents(run)
    with pytest.raises(DataError, match="holds a run or a model"):
        train(parse_arguments([*argv, "--output_dir", str(run)]))
    assert contents(run) == before


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (["--epochs", "0"], "--epochs is at least 1, not 0"),
        (["--batch_size", "0"], "--batch_size is at least 1, not 0"),
        (["--dataset", "nowhere/at/all"], "nowhere/at/all"),
        (["--learning_rates", '{"nothing": 1}'], "the model has no part nothing"),
        (["--resume", "true"], "leave one of them out"),
    ],
)
def test_failing_start_touches_nothing(options, error, argv, run):
    before = contents(run)
    with pytest.raises(ValueError, match=error):
        train(parse_arguments([*argv, "--output_dir", str(run), "--overwrite", "true", *options]))
    assert contents(run) == before


def test_overwriting_leaves_nothing_of_the_former_run(argv, run):
    before = run_folder.weights_digest(run)
    train(parse_arguments([*argv, "--output_dir", str(run), "--overwrite", "true", "--seed", "1"]))
    assert run_folder.weights_digest(run) != before
    assert json.loads((run / "results.json").read_text())["seed"] == 1
    assert not [name for name in run_folder.DERIVED if (run / name).exists()]
    assert (run / "notes.txt").read_text() == "mine"


def test_run_that_goes_on_loses_what_was_made_of_its_weights(argv, tmp_path):
    options = [*argv, "--output_dir", str(tmp_path), "--keep_checkpoints", "1"]
    train(parse_arguments([*options, "--epochs", "1"]))
    for name in run_folder.DERIVED:
        (tmp_path / name).write_text("{}")
    train(parse_arguments([*options, "--epochs", "1", "--resume", "true"]))  # its weights stay
    assert all((tmp_path / name).exists() for name in run_folder.DERIVED)
    train(parse_arguments([*options, "--epochs", "2", "--resume", "true"]))
    assert not [name for name in run_folder.DERIVED if (tmp_path / name).exists()]


def test_several_runs_are_not_overwritten(argv, tmp_path):
    options = [*argv, "--output_dir", str(tmp_path), "--seeds", "0", "1", "--overwrite", "true"]
    with pytest.raises(DataError, match="--overwrite is for a single run; remove the folders"):
        train_all(parse_arguments(options))
