"""docs/paper.md: every row is there and filled, every name in it exists, every count is right."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest
import torch
import yaml
from torch import nn
from transformers import AutoModel, BertConfig, HubertConfig

from m4ser import M4SERConfig, M4SERModel
from m4ser.model.presets_m4ser import PRESETS
from m4ser.training.arguments import ObjectiveArguments
from m4ser.training.discriminator import ModalityDiscriminator

ROOT = Path(__file__).parents[1]
PAPER = (ROOT / "docs" / "paper.md").read_text(encoding="utf-8")
REFERENCE = re.compile(r"`([\w/.]+\.(?:py|yaml))(?:::([\w.]+))?`")
ROMAN = ("I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX")
MAPPING = ("Equations", "Algorithm 1", "Tables", "Figures")


def tables(section):
    """The tables of a section, each a list of rows, each a dict by column."""
    (body,) = re.findall(rf"^## {section}\n(.*?)(?=^## |\Z)", PAPER, re.DOTALL | re.MULTILINE)
    found = []
    for block in re.findall(r"(?:^\|.*\n?)+", body, re.MULTILINE):
        header, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines())
        found.append([dict(zip(header, row, strict=True)) for row in rows])
    return found


def numbered(rows, kind):
    """The numbers that the first column names: "lines 2-4" is 2, 3 and 4, "lines 5, 27" both."""
    numbers = []
    for row in rows:
        span = re.match(rf"{kind} (\d+)(?:(-|, )(\d+))?,", row["Paper"])
        first, joint, last = span[1], span[2], span[3] or span[1]
        numbers += range(int(first), int(last) + 1) if joint == "-" else {int(first), int(last)}
    return sorted(numbers)


def test_every_row_of_the_paper_is_there():
    (equations,), (lines,), (rows,), (figures,) = map(tables, MAPPING)
    assert numbered(equations, r"eq\.") == list(range(1, 23))
    assert numbered(lines, "lines?") == list(range(1, 28))
    assert numbered(figures, r"Fig\.") == list(range(1, 13))
    named = [re.match(r"Table ([IVX]+)", row["Paper"])[1] for row in rows]
    assert tuple(dict.fromkeys(named)) == ROMAN


@pytest.mark.parametrize("section", MAPPING)
def test_rows_name_code_test_and_decision(section):
    for row in tables(section)[0]:
        assert REFERENCE.search(row["Code"]), row["Paper"]
        assert re.search(r"`tests/[\w/]+\.py::test_\w+`", row["Test"]), row["Paper"]
        assert all(row.values()), row["Paper"]


@cache
def names_in(path):
    """Functions and classes of a file, methods as Class.method."""
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{item.name}" for item in node.body if isinstance(item, ast.FunctionDef)}
    return names


@pytest.mark.parametrize("file", sorted({file for file, _ in REFERENCE.findall(PAPER)}))
def test_everything_named_exists(file):
    start = ROOT if file.startswith(("tests/", "configs/")) or file == "train.py" else ROOT / "src" / "m4ser"
    assert (start / file).is_file()
    wanted = {name for other, name in REFERENCE.findall(PAPER) if other == file and name}
    assert wanted <= (names_in(start / file) if wanted else set())


def test_every_ablation_is_named():
    configs = {path.relative_to(ROOT).as_posix() for path in (ROOT / "configs" / "ablations").iterdir()}
    assert configs <= {file for file, _ in REFERENCE.findall(PAPER)}


# Counts, on the meta device: no weight is ever made.


def count(*modules):
    return sum(parameter.numel() for module in modules for parameter in module.parameters())


@pytest.mark.parametrize("preset", ["base", "large"])
def test_parameters_by_module(preset):
    with torch.device("meta"):
        model = M4SERModel(M4SERConfig.preset(preset))
        discriminator = ModalityDiscriminator(model.config.hidden_size)
    modules, _ = tables("Parameters")
    *parts, whole, adversary = ((row["Module"].strip("`"), int(row[preset].replace(",", ""))) for row in modules)
    assert {name: count(model.get_submodule(name)) for name, _ in parts} == dict(parts)
    assert sum(number for _, number in parts) == whole[1] == model.num_parameters() == count(model)
    assert adversary[1] == count(discriminator)


def test_the_rows_of_table_v():
    _, rows = tables("Parameters")
    for row, composed in zip(rows, composed_of(), strict=True):
        assert row["Composed"] == f"{composed / 1e6:.3f}"
        assert row["Published"] == f"{composed / 1e6:.1f}"
        assert row["Ours"] == f"{ours(row['Config']) / 1e6:.3f}"


def composed_of():
    """Table V from the library's own layers, row by row; MSR & MIR as the middle of what its rounding allows."""
    with torch.device("meta"):
        large = {name: value for name, value in PRESETS["large"]["speech_config"].items() if name != "model_type"}
        hubert, bert = AutoModel.from_config(HubertConfig(**large)), AutoModel.from_config(BertConfig())
        projection, combination, head = nn.Linear(1024, 768), nn.Linear(1536, 768), nn.Linear(768, 4)
        discriminator = nn.Linear(768, 192), nn.Linear(192, 1)
        tasks = nn.Linear(768, 3), nn.TransformerDecoderLayer(768, 12, 2048), nn.Linear(768, 30_522)
    baseline = count(hubert, projection, bert, combination, head)
    adversary, tasks = count(*discriminator), count(*tasks)
    # 481.4, 481.6 and 512.9 are rounded to a tenth.
    limits = [(published - 0.05, published + 0.05) for published in (481.4, 481.6, 512.9)]
    others = [(baseline + more) / 1e6 for more in (0, adversary, adversary + tasks)]
    least = max(low - other for (low, _), other in zip(limits, others, strict=True))
    most = min(high - other for (_, high), other in zip(limits, others, strict=True))
    assert f"{least:.3f} and {most:.3f}" in re.sub(r"\s+", " ", PAPER)
    fused = baseline + round((least + most) / 2 * 1e6)
    return [
        count(hubert, projection, head),
        count(bert, head),
        baseline,
        fused,
        fused + adversary,
        fused + adversary + tasks,
    ]


def ours(config):
    """Parameters trained by a config on top of the large preset, the discriminator included where there is one."""
    changes = yaml.safe_load((ROOT / config.strip("`")).read_text()) if config.endswith(".yaml`") else {}
    with torch.device("meta"):
        model = M4SERModel(M4SERConfig.preset("large", **changes.get("config", {})))
        discriminator = ModalityDiscriminator(model.config.hidden_size)
    adversarial = changes.get("adversarial_weight", ObjectiveArguments().adversarial_weight) > 0
    return count(model, discriminator) if adversarial else count(model)
