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
batch_size: 8
learning_rate: 1e-3
config:
  hidden_size: 16
  num_attention_heads: 2
  speech_config: {hidden_size: 8, num_hidden_layers: 1, num_attention_heads: 2, conv_dim: [8, 8, 8]}
  text_config: {hidden_size: 8, num_hidden_layers: 1, num_attention_heads: 2}
"""
SPECIFIC = {"fusion.text_query_cme", "fusion.speech_query_cme", "fusion.text_specific"}
INVARIANT = {"fusion.combination", "fusion.generator"}
TASKS = {"error_detector", "error_corrector"}
MODULES = {"speech_encoder", "text_encoder", "classifier", *SPECIFIC, *INVARIANT, *TASKS}
GAN = {"generator", "discriminator"}
LOSSES = {"emotion", "error_detection", "error_correction", "contrastive", "total", *GAN}
TASK_LOSSES = {"error_detection", "error_correction"}
STRATEGIES = {"contrastive", *GAN}
# By config: modules that are not built, and losses that are not computed.
OFF = {
    "speech_only": ({"text_encoder", *SPECIFIC, *INVARIANT, *TASKS}, TASK_LOSSES | STRATEGIES),
    "text_only": ({"speech_encoder", *SPECIFIC, *INVARIANT, *TASKS}, TASK_LOSSES | STRATEGIES),
    "concat": ({*SPECIFIC, "fusion.generator", *TASKS}, TASK_LOSSES | STRATEGIES),
    "representations_only": (TASKS, TASK_LOSSES | STRATEGIES),
    "without_specific": (SPECIFIC, GAN),
    "without_invariant": (INVARIANT, GAN),
    "without_representations": ({*SPECIFIC, "fusion.generator"}, GAN),
    "without_detection": ({"error_detector"}, {"error_detection"}),
    "without_correction": ({"error_corrector"}, {"error_correction"}),
    "without_auxiliary_tasks": (TASKS, TASK_LOSSES),
    "without_gan": (set(), GAN),
    "without_contrastive": (set(), {"contrastive"}),
    "without_strategies": (set(), STRATEGIES),
    "human_transcripts": (TASKS, TASK_LOSSES),
}


def test_there_is_a_config_for_each_row():
    assert {path.stem for path in CONFIGS.iterdir()} == OFF.keys()
    named = [row for path in CONFIGS.iterdir() for row in rows_of(path)]
    assert Counter(named) == Counter(ROWS)


def rows_of(path):
    """The rows of the paper's tables that a config's first line names."""
    comment, _, _ = path.read_text().partition("\n")
    return re.findall(r'Table IV [A-D]\(\d\)|Table V "[^"]*"|Table VI\b', comment)


def test_each_is_a_few_lines_with_a_name_of_its_own():
    names = [yaml.safe_load(path.read_text())["name"] for path in CONFIGS.iterdir()]
    assert len(set(names)) == len(names)
    assert all(len(path.read_text().splitlines()) <= 6 for path in CONFIGS.iterdir())


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


@pytest.mark.parametrize("name", OFF)
def test_what_is_switched_off_is_not_built(name, folder, full):
    missing, silent = OFF[name]
    arguments = arguments_of(folder, name)
    results = train(arguments)
    run = folder / name
    assert losses_of(run) == LOSSES - silent
    expected = {module: count for module, count in full.items() if module not in missing}
    if name == "without_detection":  # it writes 64 tokens, not 10, each place an embedding of the text's width
        expected["error_corrector"] += (64 - 10) * 8
    assert parameters_of(run) == expected
    assert full.keys() == MODULES
    assert results["parameters"] == sum(expected.values())
    (checkpoint,) = (run / "checkpoints").glob("*/state.safetensors")
    with safe_open(checkpoint, "pt") as tensors:
        assert any(name.startswith("discriminator/") for name in tensors.keys()) == (not silent >= GAN)  # noqa: SIM118
    assert 0 <= results["splits"]["test"]["weighted_accuracy"] <= 1
    assert json.loads((run / "results.json").read_text())["name"] == arguments.training.name


def test_the_human_transcript_stands_for_the_hypothesis(folder):
    whole, human = (build_experiment(arguments_of(folder, *names)) for names in ((), ("human_transcripts",)))
    assert human.corpus["train"]["hypothesis"] == whole.corpus["train"]["transcript"]
    assert human.corpus["train"]["hypothesis"] != whole.corpus["train"]["hypothesis"]
