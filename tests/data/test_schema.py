"""The columns of a dataset, and rows that are refused."""

import datasets
import pytest

from m4ser.data.schema import COLUMNS, DataError, Utterance, features

FIELDS = {"id": "u1", "audio": b"bytes", "path": "u1.flac", "emotion": "sad", "duration": 0.1, "split": "train"}


def test_columns_and_their_order():
    kinds = {"improvised": datasets.Value("bool")}
    found = features(["sad", "happy"], kinds)
    assert tuple(found) == (*COLUMNS, "improvised")
    assert found["emotion"].names == ["sad", "happy"] and found["audio"].decode is False


def test_text_alone_needs_no_audio():
    assert Utterance(**FIELDS | {"audio": None, "path": None, "duration": 0.0}).audio is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"id": ""}, "has an empty id"),
        ({"emotion": ""}, "'u1' has an empty emotion"),
        ({"audio": b""}, "'u1' has an empty audio"),
        ({"audio": None}, "'u1' has an empty audio"),
        ({"path": None}, "'u1' has an empty path"),
        ({"audio": None, "path": None, "duration": -1.0}, "'u1' lasts -1.0 s"),
        ({"split": "dev"}, "'u1' is in split 'dev'; choose from train, validation, test"),
        ({"duration": float("nan")}, "'u1' lasts nan s"),
        ({"duration": 0.0}, "'u1' lasts 0.0 s"),
        ({"hypothesis": "a b", "word_confidences": [0.5]}, "'u1': there are 1 word_confidences for 2 words."),
        ({"word_confidences": [0.5]}, "'u1': there are 1 word_confidences for 0 words."),
    ],
)
def test_bad_row_is_refused(changes, message):
    with pytest.raises(DataError, match=message):
        Utterance(**FIELDS | changes)
