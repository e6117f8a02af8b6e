"""Word error rates on the comparison form and on the raw text, by hand."""

import pytest
from transformers import AutoTokenizer

from experiments.correction_counts import hypothesis_error_rates, raw_form, spell, word_error_rates


@pytest.fixture(scope="module")
def tokenizer(bert_folder):
    return AutoTokenizer.from_pretrained(bert_folder)


def spelled(tokenizer, text):
    return spell(tokenizer, tokenizer(text, add_special_tokens=False).input_ids)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It 's honest , and does n't hurt .", "it's honest , and does n't hurt ."),
        ("THEY DIDN'T", "they didn't"),
        ("rock ' n ' roll", "rock ' n ' roll"),
        ("Beauté", "beaute"),
    ],
)
def test_spelled_as_its_tokens(text, expected, tokenizer):
    assert raw_form(spelled(tokenizer, text)) == expected


def test_counts_by_hand(tokenizer):
    """Raw: two, those and both punctuation marks are wrong, of eight words; compared: those, of six."""
    rows = [{"hypothesis": "i'll take two OF those please", "transcript": "I'll take 2 of these , please !"}]
    assert hypothesis_error_rates(tokenizer, rows) == {
        "comparison": pytest.approx(100 * 1 / 6),
        "raw": pytest.approx(100 * 4 / 8),
    }


def test_errors_are_over_all_words(tokenizer):
    rows = [{"hypothesis": "", "transcript": "no"}, {"hypothesis": "", "transcript": "yes it is"}]
    rates = word_error_rates(tokenizer, rows, ["yes", "yes it is"])
    assert rates == {"comparison": 25.0, "raw": 25.0}
