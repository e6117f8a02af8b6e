"""Loading a dataset: what cannot be loaded is one DataError that names it."""

import pytest

from m4ser.data.loading import load_dataset, merge_splits
from m4ser.data.schema import DataError
from tests.tiny_corpus import write_sessions


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_sessions(tmp_path_factory.mktemp("sessions") / "corpus", 3)


def test_all_splits_or_one(corpus):
    splits = load_dataset(corpus)
    for name, rows in splits.items():
        assert load_dataset(str(corpus), name)["id"][:] == rows["id"][:]


def test_missing_split_names_those_that_exist(corpus):
    with pytest.raises(DataError, match=r"has no split 'dev'; it has \w+"):
        load_dataset(corpus, "dev")


def test_missing_dataset_says_what_to_do(tmp_path):
    with pytest.raises(
        DataError,
        match=r"There is no dataset .*gone: no such folder. Build it with datasets_builders, or check its Hub",
    ):
        load_dataset(tmp_path / "gone")


def test_damaged_file_is_data_error(tmp_path):
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "train.parquet").write_bytes(b"not Parquet")
    with pytest.raises(DataError, match=r"The dataset .*corpus cannot be loaded: "):
        load_dataset(tmp_path / "corpus")


def test_merge_keeps_all_rows_and_known_columns(corpus):
    splits = load_dataset(corpus)
    merged = merge_splits(splits, ["id", "emotion", "unknown"])
    assert merged.column_names == ["id", "emotion"]
    assert merged["id"][:] == [name for rows in splits.values() for name in rows["id"]]
    assert merge_splits(splits).column_names == next(iter(splits.values())).column_names
