"""Any text beside a recording: scores that are finite, and the same as of its first tokens where it is too long."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.assertions import assert_same, assert_scores, noise
from tests.saved_models import SENTENCES

TEXTS = {
    "4,000 characters": "and so my fellow americans " * 150,
    "one long word": "so" * 2000,
    "null bytes": "so\x00heart\x00",
    "controls": "\x1b[2Jso\r\n\theart\x7f",
    "right to left": "\u202eأنا غاضب جدا\u202c שלום",
    "emoji": "so 😀👩\u200d👩\u200d👧\U0001f9d1\u200d🚀 heart",
    "combining": "z" + "\u0301" * 500,
    "punctuation": "?!... --- ,,, «»",
    "markers": "[CLS] [SEP] [MASK] [PAD] [UNK]",
    "a lone surrogate": "so \ud800 heart",
    "spaces": " \u3000\u00a0\n\t ",
    "a formula": "=cmd|'/C calc'!A0",
}


@pytest.fixture(scope="module")
def recording():
    return {"raw": noise(8000), "sampling_rate": 16000}


@pytest.mark.filterwarnings("ignore:A text is empty")
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_text_is_scored_and_corrected(classify, recording, text):
    output = classify({**recording, "text": text}, return_correction=True)
    assert_scores(output["scores"])
    assert output["transcript"] == text.replace("\ud800", r"\ud800") and isinstance(output["correction"], str)


@settings(
    max_examples=50, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text=st.text(st.characters(), max_size=200))
def test_drawn_text_is_scored(classify, recording, text):
    assert_scores(classify({**recording, "text": f"so {text}"}))


def test_too_long_a_text_is_its_first_tokens(classify, recording):
    """All of a hypothesis that the text encoder has positions for, and no more."""
    tokenizer, limit = classify.processor.tokenizer, classify.model.max_text_length
    word = next(word for word in SENTENCES[0].split() if len(tokenizer(word)["input_ids"]) == 3)
    text, first = f"{word} " * 5000, f"{word} " * (limit - 2)
    assert len(tokenizer(first)["input_ids"]) == limit
    assert_same(classify({**recording, "text": text}), classify({**recording, "text": first}))


def test_texts_do_not_touch_each_other(classify, recording):
    rows = [{**recording, "text": text} for text in TEXTS.values()]
    for output, row in zip(classify(rows, batch_size=len(rows)), rows, strict=True):
        assert_same(output, classify(row))
