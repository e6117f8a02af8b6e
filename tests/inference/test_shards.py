"""A folder of shards: its list is fixed, its parts are whole, and nothing else is written into it."""

import pandas as pd
import pyarrow as pa
import pytest

from m4ser.data.schema import DataError
from m4ser.inference.recordings import Recording
from m4ser.inference.shards import ShardFolder

RECORDINGS = [Recording(f"{index}", f"{index}.wav", text=None if index else "so heart") for index in range(5)]
SETTINGS = {"model": "runs/mine", "batch_size": 16}


@pytest.fixture
def shards(tmp_path):
    return ShardFolder.plan(tmp_path / "scores", iter(RECORDINGS), SETTINGS, 2)


def test_plan_is_read_again(shards):
    assert (len(shards), shards.recordings, shards.size(2)) == (3, 5, 1)
    assert [recording for shard in range(3) for recording in shards.read(shard)] == RECORDINGS
    assert len(ShardFolder.plan(shards.folder, RECORDINGS, SETTINGS, 2)) == 3


def test_shards_are_one_table_to_others(shards):
    for shard in range(len(shards)):
        assert not shards.is_written(shard)
        rows = shards.read(shard)
        error = pa.array([None if row.text is None else "cannot be used" for row in rows], pa.string())
        shards.write(shard, pa.table({"id": [row.id for row in rows], "error": error}))
    assert shards.errors() == 1
    assert pd.read_parquet(shards.folder)["id"].tolist() == [row.id for row in RECORDINGS]


def test_shard_is_whole_or_not_there(shards):
    with pytest.raises(AttributeError):
        shards.write(0, None)
    assert not shards.is_written(0) and [path.name for path in shards.folder.iterdir()] == [".plan"]


@pytest.mark.parametrize(
    ("recordings", "settings", "size", "sentence"),
    [
        (RECORDINGS[1:], SETTINGS, 2, "scores of 5 other recordings or texts"),
        (RECORDINGS, {**SETTINGS, "model": "runs/other"}, 2, "scores with model 'runs/mine', not 'runs/other'"),
        (RECORDINGS, SETTINGS, 3, "scores with shard_size 2, not 3"),
    ],
)
def test_other_scores_are_refused(shards, recordings, settings, size, sentence):
    with pytest.raises(DataError, match=f"{sentence}.*give another --output"):
        ShardFolder.plan(shards.folder, recordings, settings, size)
    assert [path.name for path in shards.folder.iterdir()] == [".plan"]


def test_plan_of_another_process_may_be_unfinished(tmp_path):
    """As it is for a moment where several are started at once, and for good where one was killed then."""
    (tmp_path / ".plan-of-another").mkdir()
    (tmp_path / ".plan-of-another" / "recordings.parquet.part").touch()
    assert len(ShardFolder.plan(tmp_path, RECORDINGS, SETTINGS, 2)) == (len(RECORDINGS) + 1) // 2


def test_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(DataError, match="holds something else"):
        ShardFolder.plan(tmp_path, RECORDINGS, SETTINGS, 2)
    with pytest.raises(DataError, match="no recording"):
        ShardFolder.plan(tmp_path / "new", [], SETTINGS, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
