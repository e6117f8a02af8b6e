"""Word confidences on tokens, and what is refused."""

import pytest

from m4ser.model.confidence_m4ser import check_word_confidences, token_confidences


def test_token_has_the_confidence_of_its_word():
    #         [CLS]    so      he      art     ,       [SEP]   [PAD]
    offsets = [(0, 0), (0, 2), (4, 6), (6, 9), (9, 10), (0, 0), (0, 0)]
    assert token_confidences("so  heart,", [0.25, 0.5], offsets) == [1, 0.25, 0.5, 0.5, 0.5, 1, 1]
    assert token_confidences("so  heart,", None, offsets) == [1] * 7
    assert token_confidences("", [], [(0, 0), (0, 0)]) == [1, 1]


def test_token_that_begins_with_a_space_is_of_the_word_behind():
    assert token_confidences("so heart", [0.25, 0.5], [(0, 2), (2, 8)]) == [0.25, 0.5]
    assert token_confidences(" so", [0.25], [(0, 1), (1, 3)]) == [1, 0.25]  # a space alone is of no word


@pytest.mark.parametrize("text", ["a\u00a0b", "a\u3000b", "a\nb", "a\x1cb"])
def test_words_are_those_of_split(text):
    check_word_confidences(text, [0.25, 0.5])
    assert token_confidences(text, [0.25, 0.5], [(0, 1), (2, 3)]) == [0.25, 0.5]


@pytest.mark.parametrize(
    ("text", "confidences", "message"),
    [
        ("a b", [0.5], "there are 1 word_confidences for 2 words"),
        (None, [0.5], "there are 1 word_confidences for 0 words"),
        ("a", [-0.1], "a list of numbers from 0 to 1"),
        ("a", "5", "a list of numbers from 0 to 1"),
        ("a", {"a": 0.5}, "a list of numbers from 0 to 1"),
        ("a", [[0.5]], "a list of numbers from 0 to 1"),
        ("a", [10**400], "a list of numbers from 0 to 1"),
    ],
)
def test_what_is_refused(text, confidences, message):
    with pytest.raises(ValueError, match=message):
        check_word_confidences(text, confidences)


def test_none_and_whole_numbers_are_fine():
    for text, confidences in ((None, None), ("a b", None), ("", []), (None, []), ("a b", (0, 1))):
        check_word_confidences(text, confidences)
