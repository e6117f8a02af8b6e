"""Labels of correction without detection (Table IV C(1)): the whole transcript, written at [CLS]."""

import datasets
from hypothesis import given
from hypothesis import strategies as st

from m4ser.data.labels import LABEL_FEATURES, add_labels, aligned_labels
from m4ser.data.tokenizer import train_tokenizer

WORDS = ["ab", "cd", "ef", "gh", "ij"]
TOKENIZER = train_tokenizer([" ".join(WORDS)] * 3, vocab_size=60)  # every word is one token
SEP = TOKENIZER.sep_token_id
sentences = st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join)


def ids(text):
    return TOKENIZER(text, add_special_tokens=False).input_ids


@given(sentences, sentences)
def test_start_is_replaced_by_transcript(hypothesis, transcript):
    labels = aligned_labels(TOKENIZER, hypothesis, transcript, rewrite=True)
    assert labels["aed_labels"] == [2, *[1] * len(ids(hypothesis)), -100]
    assert labels["correction_positions"] == [0]
    assert labels["correction_ids"] == [[*ids(transcript), SEP]]


def test_a_hypothesis_without_errors_is_rewritten_too():
    assert aligned_labels(TOKENIZER, "ab", "ab", rewrite=True)["correction_ids"] == [[*ids("ab"), SEP]]


def test_the_lengths_hold():
    labels = aligned_labels(TOKENIZER, "ab cd ef", "ab cd ef gh", max_length=4, max_correction_length=3, rewrite=True)
    assert labels["aed_labels"] == [2, 1, 1, -100]
    assert labels["correction_ids"] == [ids("ab cd ef")]  # cut, hence no end


def test_nothing_is_known_without_a_transcript():
    expected = {"aed_labels": [-100] * 3, "correction_positions": [], "correction_ids": []}
    assert aligned_labels(TOKENIZER, "ab", None, rewrite=True) == expected


def test_the_cache_tells_both_kinds_of_labels_apart():
    texts = datasets.Dataset.from_dict({"hypothesis": ["ab cd", "ef"], "transcript": ["ab", "ef"]})
    edits, rewritten = add_labels(texts, TOKENIZER), add_labels(texts, TOKENIZER, rewrite=True)
    assert edits["correction_positions"] == [[], []]
    assert rewritten["correction_positions"] == [[0], [0]]
    # Over labels of the other kind, and for all splits at once.
    again = add_labels(datasets.DatasetDict(train=edits), TOKENIZER, rewrite=True)["train"]
    assert all(again[column] == rewritten[column] for column in LABEL_FEATURES)
