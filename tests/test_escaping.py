"""Texts of others in tables: what a spreadsheet computes, and what Markdown draws."""

import csv
import io
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from m4ser.escaping import FORMULA, escape_csv, escape_markdown, unescape_csv


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=cmd|'/C calc'!A0", "'=cmd|'/C calc'!A0"),
        ("@SUM(A1:A9)", "'@SUM(A1:A9)"),
        ("-2+3", "'-2+3"),
        ("\t=1+1", "'\t=1+1"),
        ("'tis", "''tis"),
        ("so heart", "so heart"),
        ("", ""),
    ],
)
def test_formulas_are_text(text, cell):
    assert escape_csv(text) == cell and unescape_csv(cell) == text


def test_numbers_stay_numbers():
    assert escape_csv(-0.5) == -0.5 and escape_csv(None) is None


# Python 3.10's csv writes no NUL.
NO_NUL = "\0" if sys.version_info < (3, 11) else ""


@given(st.text(st.characters(exclude_categories=("Cs",), exclude_characters=NO_NUL)))
def test_every_text_comes_back_from_a_file(text):
    file = io.StringIO(newline="")
    csv.writer(file).writerow([escape_csv(text)])
    (row,) = csv.reader(io.StringIO(file.getvalue(), newline=""))
    assert not FORMULA.match(row[0]) and unescape_csv(row[0]) == text


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("<script>alert(1)</script>", "&lt;script>alert(1)&lt;/script>"),
        ("![x](http://tracker/x.png)", r"!\[x\](http://tracker/x.png)"),
        ("a | b\n| c", r"a \| b \| c"),
        ("`rm` & \\", r"\`rm\` & \\"),
        ("\x1b[31mred\x00", r"\[31mred"),
        ("Ärger 😀 غضب", "Ärger 😀 غضب"),
    ],
)
def test_markdown_reads_as_the_text(text, cell):
    assert escape_markdown(text) == cell
