"""Every config of the paper's rows is recognized by what it builds, whatever the run is called."""

from pathlib import Path

import pytest
import yaml

from m4ser.evaluation.paper.published import published
from m4ser.evaluation.report.variants import VARIANTS, variant_name
from m4ser.training.arguments import parse_arguments

CONFIGS = Path(__file__).parents[3] / "configs"
NAMES = {"concat": "concat", "human_transcripts": "human transcripts", "representations_only": "+ MSR & MIR"}


def variant_of(*configs, **changes):
    options = [f"--{name}={value}" for name, value in changes.items()]
    arguments = parse_arguments([*map(str, configs), "--dataset", "corpus", "--output_dir", "run", *options])
    return variant_name(arguments.as_dict())


@pytest.mark.parametrize("path", sorted((CONFIGS / "ablations").iterdir()), ids=lambda path: path.stem)
def test_ablation_config_has_its_variant(path):
    expected = NAMES.get(path.stem) or yaml.safe_load(path.read_text())["name"]
    assert variant_of(CONFIGS / "ravdess.yaml", path) == expected


def test_full_and_unnamed_variants():
    assert variant_of(CONFIGS / "iemocap.yaml") == variant_of(CONFIGS / "ravdess.yaml") == "full"
    assert variant_of(CONFIGS / "ablations" / "speech_only.yaml", contrastive_weight=0.1) is None
    assert variant_name({"data": {"dataset": "corpus"}}) is None


def test_published_rows_name_known_variants():
    rows = [row for key in ("IV", "V", "VI", "VIII", "IX") for row in published()[key]]
    assert {row["variant"] for row in rows} <= {*VARIANTS.values(), "SAMS"}
