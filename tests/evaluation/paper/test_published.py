"""published.yaml holds what the paper's text prints: every row's numbers, in order, on the line that names it."""

import re

import pytest

from m4ser.evaluation.paper.published import published

NUMBER = re.compile(r"\d+\.\d+|\d+")
TABLES = ("II", "III", "IV", "V", "VI", "VIII", "IX")


@pytest.fixture(scope="module")
def paper(shared_data):
    text = (shared_data.parent / "paper" / "m4ser.txt").read_text(encoding="utf-8")
    return re.sub(r"</?u>|<sup>.*?</sup>|\*", "", text)


def numbers(row):
    """A row's figures in the order of its columns."""
    found = []
    for name, value in row.items():
        if isinstance(value, dict):
            found += numbers(value)
        elif isinstance(value, float):
            found.append(value)
        elif value is None and name == "ACC":
            continue
    return found


@pytest.mark.parametrize("key", TABLES)
def test_every_published_row_is_in_the_paper(paper, key):
    start = paper.index(f"TABLE {key}\n")
    lines = [[float(number) for number in NUMBER.findall(line)] for line in paper[start : start + 3500].splitlines()]
    if key == "V":  # the text prints the table column by column
        column = [float(number) for number in NUMBER.findall(paper[start : start + 1200])]
        for name in ("parameters", "training", "inference", "WA", "UA"):
            for row in published()[key]:
                assert row[name] in column
        return
    for row in published()[key]:
        expected = numbers(row)
        assert any(line[-len(expected) :] == expected for line in lines), row


def test_table_vii_and_the_counts_of_fig_6(paper):
    assert [value for row in published()["VII"] for value in (row["ASR"], row["GT"])] == [0.52, 1.89, 1.46, 1.57]
    assert "0.52\t1.89\t1.46\t1.57" in paper
    section = paper[paper.index("A. Dataset and Evaluation Metrics") : paper.index("B. Implementation Details")]
    for counts in published()["6"].values():
        for count in counts.values():
            assert str(count) in section or f"{count:,}" in section
    assert sum(published()["6"]["IEMOCAP"].values()) == 5531 and sum(published()["6"]["MELD"].values()) == 13_095
