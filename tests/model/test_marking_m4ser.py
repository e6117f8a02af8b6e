"""Errors and corrections as text: no word is shown in pieces."""

import pytest
from transformers import AutoTokenizer

from m4ser.data.tokenizer import train_tokenizer
from m4ser.model.correction_m4ser import CHANGE, DELETE, KEEP
from m4ser.model.marking_m4ser import decode_words, mark_errors
from tests.saved_models import SENTENCES


@pytest.fixture(params=[30, 64, 500])
def tokenizer(request):
    """From single letters to whole words."""
    return train_tokenizer(SENTENCES, vocab_size=request.param)


def tags_of(tokenizer, text, kinds):
    """The tags of a text's tokens, each that of the word it stands in."""
    spans = tokenizer(text, return_offsets_mapping=True)["offset_mapping"]
    words = [kinds.get(word, KEEP) for word in text.split() for _ in word] if text else []
    places = [index for index, letter in enumerate(text) if not letter.isspace()]
    by_letter = dict(zip(places, words, strict=True))
    return [KEEP, *(by_letter[start] for start, _ in spans[1:-1]), KEEP]


def test_words_are_marked(tokenizer):
    text = "he was not ill"
    tags = tags_of(tokenizer, text, {"was": DELETE, "not": CHANGE})
    assert mark_errors(tokenizer, text, tags) == "he ~was~ [not] ill"
    assert mark_errors(tokenizer, text, [CHANGE, *tags[1:]]) == "[] he ~was~ [not] ill"
    assert mark_errors(tokenizer, "", [KEEP, KEEP]) == ""


def test_neighbors_with_one_mark_are_marked_together(tokenizer):
    text = "he was not ill disposed"
    tags = tags_of(tokenizer, text, dict.fromkeys(("was", "not"), DELETE) | dict.fromkeys(("ill", "disposed"), CHANGE))
    assert mark_errors(tokenizer, text, tags) == "he ~was not~ [ill disposed]"


def test_word_with_an_edited_piece_is_marked_whole():
    tokenizer = train_tokenizer(SENTENCES, vocab_size=30)
    text = "And so, my  Friend"  # as it was given, but for its spaces
    count = len(tokenizer(text)["input_ids"])
    for edit in (CHANGE, DELETE):
        assert mark_errors(tokenizer, text, [*[KEEP] * (count - 3), edit, KEEP, KEEP]) == "And so, my [Friend]"


def test_bert_tokens_are_marked_whole(bert_folder):
    tokenizer = AutoTokenizer.from_pretrained(bert_folder)
    text = "the recognizer's unfathomability"
    pieces = tokenizer.tokenize(text)
    assert any(piece.startswith("##") for piece in pieces)
    tags = [KEEP, *(CHANGE if piece.startswith("##") else KEEP for piece in pieces), KEEP]
    assert mark_errors(tokenizer, text, tags) == "the [recognizer's unfathomability]"


def test_correction_begins_with_a_word():
    tokenizer = train_tokenizer(SENTENCES, vocab_size=30)
    ids = tokenizer("was he", add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids[1:]).startswith("##")
    assert decode_words(tokenizer, ids[1:]) == "as he"
    assert decode_words(tokenizer, ids) == "was he" and decode_words(tokenizer, []) == ""
