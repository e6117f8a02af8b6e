"""The card of a dataset, whatever its corpus calls things."""

from dataclasses import replace

import datasets
from huggingface_hub import DatasetCard

from m4ser.data.builders.writing import write_dataset
from tests.tiny_corpus import LABELS, utterances

HOSTILE = ("<script>alert(1)</script>", "a | b", "---\nlicense: mit", "![x](http://tracker/x.png)")


def test_names_are_no_markup(tmp_path):
    """Labels, title and findings read as they are, and neither add a column nor a line to the header."""
    names = dict(zip(LABELS, HOSTILE, strict=True))
    rows = [replace(row, emotion=names[row.emotion]) for row in utterances()]
    findings = {"left out": ["<img src=x onerror=alert(1)>"]}
    write_dataset(rows, HOSTILE, tmp_path, title="<b>T</b>\n# Other", description="Noises.", findings=findings)
    card = DatasetCard.load(tmp_path / "README.md")
    assert card.data.license is None and card.data.pretty_name == "<b>T</b>\n# Other"
    assert "<script" not in card.text and "<img" not in card.text and "![x]" not in card.text
    assert card.text.strip().splitlines()[0] == "# &lt;b>T&lt;/b> # Other"
    table = [line.replace(r"\|", "").count("|") for line in card.text.splitlines() if line.startswith("| ")]
    assert len(set(table)) == 1
    read = datasets.load_dataset(str(tmp_path), split="train")
    assert read.features["emotion"].names == list(HOSTILE)
