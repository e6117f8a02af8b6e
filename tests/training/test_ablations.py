"""Every row of Tables IV, V and VI that is not the full model, trained from its config: what is off is not built."""

import csv
import json
import re
from collections import Counter
from pathlib import Path

import pytest
import yaml
from safetensors import safe_open

from m4ser.data.synthetic import write_corpus
from m4ser.training.arguments import parse_arguments
from m4ser.training.loop import train
from m4ser.training.setup import build_experiment
from tests.ablations import ABLATIONS, ADVERSARIAL, LOSSES, MODULES

CONFIGS = Path(__file__).parents[2] / "configs" / "ablations"
ROWS = {
    *(f"Table IV {part}({number})" for part in "ABCD" for number in (1, 2, 3)),
    *(f'Table V "{row}"' for row in ("HuBERT", "BERT", "Baseline", "+ MSR & MIR", "+ GAN & LCL")),
    "Table VI",
}
BASE = """
preset: tiny
normalization: basic
vocabulary_size: 60
epochs: 1
keep_checkpoints: 1
batch_size: 8
learning_rate: 1e-3
config:
  hidden_size: 16
  num_attention_heads: 2
  speech_config: {hidden_size: 8, num_hidden_layers: 1, num_attention_heads: 2, conv_dim: [8, 8, 8]}
  text_config: {hidden_size: 8, num_hidden_layers: 1, num_attention_heads: 2}
"""


def test_there_is_a_config_for_each_row():
    assert {path.stem for path in CONFIGS.iterdir()} == ABLATIONS.keys()
    named = [row for path in CONFIGS.iterdir() for row in rows_of(path)]
    assert Counter(named) == Counter(ROWS)


def rows_of(path):
    """The rows of the paper's tables that a config's first line names."""
    comment, _, _ = path.read_text().partition("\n")
    return re.findall(r'Table IV [A-D]\(\d\)|Table V "[^"]*"|Table VI\b', comment)


@pytest.mark.parametrize("name", ABLATIONS)
def test_config_sets_its_row_and_a_name(name):
    settings = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())
    assert settings.pop("name")
    assert settings == ABLATIONS[name].yaml


def test_names_are_unique():
    names = [yaml.safe_load(path.read_text())["name"] for path in CONFIGS.iterdir()]
    assert len(set(names)) == len(names)


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ablations")
    (folder / "base.yaml").write_text(BASE)
    write_corpus(folder / "corpus", sizes={"train": 16, "validation": 4, "test": 4})
    return folder


def arguments_of(folder, *ablations):
    files = [folder / "base.yaml", *(CONFIGS / f"{name}.yaml" for name in ablations)]
    run = folder / (ablations[0] if ablations else "full")
    return parse_arguments([*map(str, files), "--dataset", str(folder / "corpus"), "--output_dir", str(run)])


@pytest.fixture(scope="session")
def full(folder):
    """Parameters by module of the full model, which is trained too."""
    train(arguments_of(folder))
    assert losses_of(folder / "full") == LOSSES
    return parameters_of(folder / "full")


def parameters_of(run):
    counts = Counter()
    with safe_open(run / "model.safetensors", "pt") as weights:
        for name in weights.keys():  # noqa: SIM118  safe_open is no mapping
            parts = name.split(".")
            counts[".".join(parts[:2]) if parts[0] == "fusion" else parts[0]] += weights.get_tensor(name).numel()
    return counts


def losses_of(run):
    with (run / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2  # 16 recordings in batches of 8
    return rows[0].keys() - {"step", "epoch", "invariant_probability", "learning_rate", "seconds"}


@pytest.mark.parametrize("name", ABLATIONS)
def test_ablated_modules_are_not_built(name, folder, full):
    ablation = ABLATIONS[name]
    arguments = arguments_of(folder, name)
    results = train(arguments)
    run = folder / name
    assert losses_of(run) == LOSSES - ablation.missing_losses
    expected = {module: count for module, count in full.items() if module not in ablation.modules}
    if name == "without_detection":  # it writes 64 tokens, not 10, each position an embedding of the text's width
        expected["error_corrector"] += (64 - 10) * 8
    assert parameters_of(run) == expected
    assert full.keys() == MODULES
    assert results["parameters"] == sum(expected.values())
    (checkpoint,) = (run / "checkpoints").glob("*/state.safetensors")
    with safe_open(checkpoint, "pt") as tensors:
        has_discriminator = any(name.startswith("discriminator/") for name in tensors.keys())  # noqa: SIM118
    assert has_discriminator == ablation.missing_losses.isdisjoint(ADVERSARIAL)
    assert 0 <= results["splits"]["test"]["weighted_accuracy"] <= 1
    assert json.loads((run / "results.json").read_text())["name"] == arguments.training.name


def test_human_transcripts_replace_hypotheses(folder):
    whole, human = (build_experiment(arguments_of(folder, *names)) for names in ((), ("human_transcripts",)))
    assert human.corpus["train"]["hypothesis"] == whole.corpus["train"]["transcript"]
    assert human.corpus["train"]["hypothesis"] != whole.corpus["train"]["hypothesis"]
