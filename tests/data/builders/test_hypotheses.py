"""A hypothesis goes to the recording whose id it bears, in whole or in its last folders; to none in silence."""

import json

import pytest

from m4ser.data.builders.hypotheses import read_hypotheses
from m4ser.data.schema import DataError


def write(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_hypotheses(path)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "hypotheses.jsonl"


@pytest.mark.parametrize(
    ("id", "names"),
    [
        ("03a01Wa", ("dataset/Angry/03a01Wa",)),
        ("Angry/03a01Wa", ("dataset/Angry/03a01Wa",)),
        ("Session1/wav/Ses01F", ("Ses01F",)),
        ("wav/a", ("../wav/a",)),
        ("a", ("first", "a")),
    ],
)
def test_id_may_be_end_of_other(file, id, names):
    hypotheses = write(file, {"id": id, "hypothesis": "well"}, {"id": "other", "hypothesis": "no"})
    assert hypotheses.columns(*names)["hypothesis"] == "well"


def test_name_is_compared_in_whole(file):
    hypotheses = write(file, {"id": "Sad/01", "hypothesis": "well"}, {"id": "101", "hypothesis": "no"})
    assert hypotheses.columns("Angry/01") == hypotheses.columns("1") == {}


def test_same_id_comes_first(file):
    hypotheses = write(file, {"id": "a", "hypothesis": "one"}, {"id": "x/a", "hypothesis": "two"})
    assert [hypotheses.columns(id)["hypothesis"] for id in ("x/a", "a")] == ["two", "one"]


def test_hypothesis_of_two_recordings_is_refused(file):
    hypotheses = write(file, {"id": "01", "hypothesis": "well"})
    hypotheses.columns("Angry/01")
    with pytest.raises(DataError, match=r"'01' fits both 'Angry/01' and 'Sad/01'; give it the id"):
        hypotheses.columns("Sad/01")


def test_recording_with_two_hypotheses_is_refused(file):
    hypotheses = write(file, {"id": "x/01", "hypothesis": "well"}, {"file": "y/01.wav", "hypothesis": "no"})
    with pytest.raises(DataError, match=r"'x/01' and 'y/01' both fit the recording '01'"):
        hypotheses.columns("01")


def test_file_that_matches_nothing_is_refused(file):
    hypotheses = write(file, {"id": "b", "hypothesis": "well"})
    hypotheses.columns("a")
    with pytest.raises(DataError, match=r"none of its 1 hypotheses, such as that of 'b', .* such as 'a'; the ids"):
        hypotheses.check()
    file.write_text("")
    with pytest.raises(DataError, match="none of its 0 hypotheses belongs"):
        read_hypotheses(file).check()


def test_matches_are_counted_where_some_are_missing(file, capsys):
    hypotheses = write(file, *({"id": id, "hypothesis": "well"} for id in "abc"))
    hypotheses.columns("a")
    hypotheses.check()
    assert "1 of 3 hypotheses" in capsys.readouterr().err
    hypotheses.columns("b"), hypotheses.columns("c")
    hypotheses.check()
    assert capsys.readouterr().err == ""


def test_asr_model_is_kept(file):
    hypotheses = write(file, {"id": "a", "hypothesis": "well", "asr_model_id": "org/asr"})
    assert hypotheses.columns("a") == {"hypothesis": "well", "asr_model_id": "org/asr", "word_confidences": None}
    with pytest.raises(DataError, match="line 1: its asr_model_id is no string"):
        write(file, {"id": "a", "hypothesis": "well", "asr_model_id": 3})


def test_word_confidences_are_kept(file):
    rows = {"id": "a", "hypothesis": " oh  well ", "word_confidences": [0.5, 1]}, {"id": "b", "hypothesis": "oh"}
    hypotheses = write(file, *rows)
    assert hypotheses.columns("a")["word_confidences"] == [0.5, 1]
    assert hypotheses.columns("b")["word_confidences"] is None
    assert write(file, {"id": "a", "hypothesis": "", "word_confidences": []}).columns("a")["word_confidences"] == []


@pytest.mark.parametrize(
    ("confidences", "message"),
    [
        ([0.5], "line 2: there are 1 word_confidences for 2 words"),
        ([0.5, 1.1], "line 2: word_confidences is a list of numbers from 0 to 1"),
        ([0.5, float("nan")], "line 2: word_confidences is a list"),
        ([0.5, "1"], "line 2: word_confidences is a list"),
        ([0.5, None], "line 2: word_confidences is a list"),
        (0.5, "line 2: word_confidences is a list"),
        ("ab", "line 2: word_confidences is a list"),
    ],
)
def test_wrong_word_confidences_are_refused(file, confidences, message):
    with pytest.raises(DataError, match=rf"hypotheses\.jsonl, {message}"):
        write(
            file,
            {"id": "a", "hypothesis": "oh"},
            {"id": "b", "hypothesis": "oh well", "word_confidences": confidences},
        )


def test_no_file_gives_nothing():
    hypotheses = read_hypotheses(None)
    assert hypotheses.columns("a") == {}
    hypotheses.check()
