"""Splits that share a voice or a recording are refused, whatever their columns."""

import pytest
from datasets import Dataset, DatasetDict

from m4ser.data.schema import DataError
from m4ser.evaluation.protocols import check_disjoint


def split(prefix, **columns):
    """Three recordings with bytes, ids and, unless said otherwise, a speaker of their own."""
    row = {
        "id": [f"{prefix}{i}" for i in range(3)],
        "audio": [{"bytes": f"{prefix}{i}".encode(), "path": f"{prefix}{i}.wav"} for i in range(3)],
        "speaker": [f"{prefix} speaker"] * 3,
    }
    return Dataset.from_dict({**row, **columns})


def test_disjoint_splits_pass():
    check_disjoint(DatasetDict(train=split("a"), validation=split("b"), test=split("c")))


@pytest.mark.parametrize("column", ["speaker", "session", "dialogue"])
def test_a_shared_value_is_named_with_its_splits(column):
    splits = DatasetDict(
        train=split("a", **{column: ["1", "2", "3"]}),
        validation=split("b", **{column: ["4", "4", "4"]}),
        test=split("c", **{column: ["5", "3", "2"]}),
    )
    with pytest.raises(DataError, match=rf"'train' and 'test' share 2 {column}\(s\) \(2, 3\)"):
        check_disjoint(splits)


def test_a_shared_recording_is_named_even_under_another_id():
    splits = DatasetDict(train=split("a"), test=split("c", audio=[{"bytes": b"a1", "path": "new.wav"}] * 3))
    with pytest.raises(DataError, match=r"'train' and 'test' share 1 recording\(s\) \(a1\)"):
        check_disjoint(splits)


def test_only_a_few_examples_are_named():
    names = [str(i) for i in range(3)]
    many = {"speaker": names, "session": ["s1", "s2", "s3"]}
    longer = Dataset.from_dict({"speaker": [*names, "3", "4"]})
    with pytest.raises(DataError, match=r"3 speaker\(s\) \(0, 1, 2\)"):
        check_disjoint(DatasetDict(train=split("a", **many), test=longer))
    with pytest.raises(DataError, match=r"5 speaker\(s\) \(0, 1, 2, \.\.\.\)"):
        check_disjoint(DatasetDict(train=longer, test=longer))


def test_missing_columns_and_unknown_values_are_no_overlap():
    unknown = {"speaker": [None] * 3, "session": [None] * 3}
    check_disjoint(DatasetDict(train=split("a", **unknown), test=split("c", **unknown)))
    text_only = Dataset.from_dict({"hypothesis": ["same words"]})
    check_disjoint(DatasetDict(train=text_only, test=text_only))


def test_a_corpus_may_be_checked_on_the_columns_it_promises():
    shared_speaker = {"speaker": ["Ross"] * 3}
    splits = DatasetDict(train=split("a", **shared_speaker), test=split("c", **shared_speaker))
    check_disjoint(splits, columns=("dialogue",))
    with pytest.raises(DataError, match="Ross"):
        check_disjoint(splits)
