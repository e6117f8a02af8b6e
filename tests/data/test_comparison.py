"""The comparison form: what counts as the same word, in any script, and where it stands in the text."""

import re
import unicodedata
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from m4ser.data.comparison import comparison_form, comparison_words


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("I'll go!", "i\u2019ll go"),
        ("Two, please", "2 please"),
        ("twenty-one", "21"),
        ("two hundred and five", "205"),
        ("a hundred", "100"),
        ("two million", "2 million"),
        ("1,000", "one thousand"),
        ("nineteen ninety-nine", "1999"),
        ("the twenty-first", "the 21st"),
        ("fifty percent", "50 %"),
        ("seven thirty", "7:30"),
        ("Favourite colours", "favorite colors"),
        ("organised centre, travelled", "organized center traveled"),
        ("OK", "okay"),
        ("don't", "dont"),
        ("it 's what she does n't", "it's what she doesn't"),
        ("[LAUGHTER] Oh, that's <noise> funny.", "oh that's funny"),
        ("Cafe\u0301", "caf\u00e9"),
    ],
)
def test_same_words(first, second):
    assert comparison_form(first) == comparison_form(second)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("I'll", "ill"),
        ("we're", "were"),
        ("it's", "its"),
        ("our hour", "or hor"),
        ("filled", "filed"),
        ("there", "theer"),
        ("twenty one", "20 1"),
        ("5 6", "11"),
        ("one oh two", "102"),
        ("two hundred and", "200"),
        ("zażółć", "zazolc"),
        ("schön", "schon"),
    ],
)
def test_other_words(first, second):
    assert comparison_form(first) != comparison_form(second)


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("Zażółć GĘŚLĄ jaźń!", "zażółć gęślą jaźń"),
        ("Straße, ÄRGER", "strasse ärger"),
        ("हिन्दी में।", "हिन्दी में"),
        ("你好，世界！", "你好 世界"),
        ("Привет, мир?", "привет мир"),
        ("مرحبا بالعالم", "مرحبا بالعالم"),
    ],
)
def test_any_script(text, form):
    assert comparison_form(text) == form


@given(st.text())
def test_no_letter_is_lost(text):
    words = comparison_words(text)
    outside = [text[one.end : two.start] for one, two in pairwise(words)]
    edges = [text[: words[0].start], text[words[-1].end :]] if words else [text]
    lost = [character for part in (*outside, *edges) for character in part]
    assert not [one for one in lost if unicodedata.category(one)[0] in "LN"]
    assert all(word.key for word in words if not re.match(r"[\[<]", text[word.start]))


def test_offsets():
    text = "Well, twenty-one [LAUGHTER] isn't"
    stretches = [(text[word.start : word.end], word.key) for word in comparison_words(text)]
    assert stretches == [("Well", "well"), ("twenty-one", "21"), ("[LAUGHTER]", ""), ("isn't", "isnt")]
