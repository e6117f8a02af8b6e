"""A run's arguments: YAML files, one on top of the other, then the command line, and nothing that is not known."""

import json
from pathlib import Path

import pytest
import yaml

from m4ser.training.arguments import parse_arguments
from m4ser.training.main import main

ROOT = Path(__file__).parents[2]
REQUIRED = ["--dataset", "corpus", "--output_dir", "run"]
CONFIGS = [path for path in sorted(ROOT.glob("configs/**/*.yaml")) if path.parent.name not in ("launch", "tables")]


@pytest.fixture
def config(tmp_path):
    """Write a YAML file by name; give its path."""

    def write(**files):
        ((name, text),) = files.items()
        (tmp_path / f"{name}.yaml").write_text(text)
        return str(tmp_path / f"{name}.yaml")

    return write


def test_defaults_are_those_of_the_paper():
    arguments = parse_arguments(REQUIRED)
    objective, training = arguments.objective, arguments.training
    assert (
        objective.auxiliary_weight,
        objective.detection_weight,
        objective.adversarial_weight,
        objective.contrastive_weight,
    ) == (0.1, 3, 0.01, 0.1)
    assert objective.temperature == 0.07
    assert (training.batch_size, training.epochs, training.learning_rate) == (16, 100, 1e-5)
    assert training.schedule == "constant"
    assert arguments.model.preset == "base"
    assert (arguments.data.dataset, training.output_dir) == ("corpus", "run")


def test_yaml_then_command_line(config):
    path = config(run="preset: tiny\nepochs: 3\nbatch_size: 4\nresume: true\n")
    arguments = parse_arguments([path, *REQUIRED, "--epochs", "7"])
    assert arguments.model.preset == "tiny"
    assert arguments.training.epochs == 7
    assert arguments.training.batch_size == 4
    assert arguments.training.resume is True
    assert arguments.training.learning_rate == 1e-5


@pytest.mark.parametrize("number", ["1e-3", "1.0e-3", "0.001", "'0.001'"])
def test_numbers_as_people_write_them_in_yaml(config, number):
    """YAML 1.1 reads 1e-3 as a string."""
    rate = parse_arguments([config(run=f"learning_rate: {number}\n"), *REQUIRED]).training.learning_rate
    assert rate == 0.001
    assert isinstance(rate, float)


@pytest.mark.parametrize("written", ["no", "'no'"])
def test_no_precision_as_people_write_it_in_yaml(config, written):
    """YAML 1.1 reads no as a boolean."""
    assert parse_arguments([config(run=f"mixed_precision: {written}\n"), *REQUIRED]).training.mixed_precision == "no"


def test_required_arguments_from_a_file(config):
    arguments = parse_arguments([config(run="dataset: here\noutput_dir: there\n")])
    assert (arguments.data.dataset, arguments.training.output_dir) == ("here", "there")


def test_files_are_merged_key_by_key(config):
    corpus = config(
        corpus="epochs: 3\nbatch_size: 4\nconfig:\n  hidden_size: 32\n  text_config: {vocab_size: 50, a: 1}\n"
    )
    smaller = config(smaller="batch_size: 8\nconfig:\n  text_config: {vocab_size: 60}\n")
    ablation = config(ablation='config:\n  modalities: ["text"]\n')
    arguments = parse_arguments([corpus, smaller, ablation, *REQUIRED])
    assert (arguments.training.epochs, arguments.training.batch_size) == (3, 8)
    assert arguments.model.config == {
        "hidden_size": 32,
        "text_config": {"vocab_size": 60, "a": 1},
        "modalities": ["text"],
    }


def test_config_as_json():
    fields = {"hidden_size": 32, "modalities": ["text"]}
    assert parse_arguments([*REQUIRED, "--config", json.dumps(fields)]).model.config == fields


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["--output_dir", "run"], "No dataset: give --dataset FOLDER"),
        (["--dataset", "corpus"], "Nowhere to write: give --output_dir FOLDER."),
        (["nowhere.yaml", *REQUIRED], "There is no config file nowhere.yaml."),
        ([*REQUIRED, "--speech_encoder", "x"], "Give text_encoder too"),
        ([*REQUIRED, "--text_encoder", "x", "--config", '{"modalities": ["speech"]}'], "Give speech_encoder too"),
        ([*REQUIRED, "--epoch_count=2"], "--epoch_count"),
        ([*REQUIRED, "--epoch_count", "2"], "There is no option --epoch_count"),
        ([*REQUIRED, "--selection_metric", "loss"], "selection_metric is one of"),
        ([*REQUIRED, "--mixed_precision", "fp8"], "mixed_precision is one of no, bf16, fp16, not fp8"),
        ([*REQUIRED, "--keep_checkpoints", "0"], "keep_checkpoints is at least 1"),
        ([*REQUIRED, "--loss_reduction", "max"], "loss_reduction is one of mean, sum, not max"),
    ],
    ids=[
        "no dataset",
        "no output",
        "no file",
        "one encoder",
        "the other encoder",
        "unknown with =",
        "unknown",
        "no measure",
        "no precision",
        "no checkpoints",
        "no reduction",
    ],
)
def test_invalid_arguments_are_refused(argv, sentence):
    with pytest.raises(ValueError, match=sentence):
        parse_arguments(argv)


def test_unknown_names_in_a_file_are_refused(config):
    path = config(run="epochs: 3\nlr: 1\nbatchsize: 2\n")
    with pytest.raises(ValueError, match=r"run.yaml: there is no argument batchsize, lr; see train.py --help."):
        parse_arguments([path, *REQUIRED])


def test_as_dict_round_trip(config):
    arguments = parse_arguments([config(run="preset: tiny\nepochs: 3\nconfig: {hidden_size: 32}\n"), *REQUIRED])
    flat = {name: value for group in arguments.as_dict().values() for name, value in group.items()}
    again = parse_arguments([config(again=yaml.safe_dump(flat))])
    assert again == arguments


@pytest.mark.parametrize("path", CONFIGS, ids=str)
def test_every_config_in_the_repository_changes_something(path):
    assert parse_arguments([str(ROOT / path), *REQUIRED]) != parse_arguments(REQUIRED)


def test_mistakes_are_one_sentence():
    with pytest.raises(SystemExit) as stopped:
        main(["--output_dir", "run"])
    assert str(stopped.value).startswith("train.py: No dataset: give --dataset FOLDER")
    with pytest.raises(SystemExit) as stopped:
        main([*REQUIRED, "--table"])
    assert str(stopped.value).startswith("train.py: --table needs a file")
    with pytest.raises(ValueError, match="No dataset: give --dataset FOLDER"):
        main(["--output_dir", "run", "--debug"])


def test_table_is_named_anywhere_on_the_command_line(tmp_path):
    (tmp_path / "table.yaml").write_text("a: --system nonsense")
    for given in (["--table", str(tmp_path / "table.yaml")], [f"--table={tmp_path / 'table.yaml'}"]):
        for argv in ([*given, *REQUIRED], [*REQUIRED, *given]):
            with pytest.raises(SystemExit, match="row a: system is one of"):
                main(argv)


def test_config_as_json_overrides_files(config):
    path = config(run="config: {hidden_size: 64, text_config: {hidden_size: 32}}")
    model = parse_arguments([path, *REQUIRED, "--config", '{"text_config": {"num_hidden_layers": 1}}']).model
    assert model.config == {"hidden_size": 64, "text_config": {"hidden_size": 32, "num_hidden_layers": 1}}
