"""Labels of characters, on values worked out by hand."""

from m4ser.model.recognition_m4ser import character_labels


def test_characters_are_counted_from_one():
    labels = character_labels(["B  a!", None, "ab"], " ab")
    assert labels.tolist() == [[3, 1, 2], [-100, -100, -100], [2, 3, -100]]


def test_one_transcript_without_characters():
    assert character_labels([None], "ab").tolist() == [[-100]]
