"""What a command line names becomes a row a recording."""

import csv
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from m4ser.data.schema import DataError
from m4ser.inference.recordings import Recording, list_recordings, with_hypotheses


@pytest.fixture
def folder(tmp_path):
    """Two recordings, one in a folder below."""
    (tmp_path / "clips" / "deeper").mkdir(parents=True)
    for name in ("b.wav", "deeper/a.flac"):
        soundfile.write(tmp_path / "clips" / name, 0.1 * np.random.default_rng(0).standard_normal(8000), 16000)
    return tmp_path


def listed(*inputs):
    return list(list_recordings([str(name) for name in inputs]))


def test_files_folders_and_addresses(folder):
    clips = folder / "clips"
    names = ["gone.wav", "https://example.org/a.wav", str(clips / "b.wav"), str(clips / "deeper" / "a.flac")]
    assert listed(*names[:2], clips) == [Recording(name, name) for name in names]


def test_lists_are_read_with_their_texts(folder):
    rows = [
        {"path": "clips/b.wav", "id": "one", "hypothesis": "so heart"},
        {"path": "clips/deeper/a.flac", "id": "", "hypothesis": None},
        {"path": "https://example.org/a.wav", "id": "three", "hypothesis": ""},
    ]
    with (folder / "list.jsonl").open("w") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    expected = [
        Recording("one", str(folder / "clips" / "b.wav"), text="so heart"),
        Recording("clips/deeper/a.flac", str(folder / "clips" / "deeper" / "a.flac")),
        Recording("three", "https://example.org/a.wav", text=""),
    ]
    assert listed(folder / "list.jsonl") == expected
    with (folder / "list.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, ["path"], delimiter=";", extrasaction="ignore")
        table.writeheader()
        table.writerows(rows)
    assert [recording.id for recording in listed(folder / "list.csv")] == [row["path"] for row in rows]
    (folder / "bad.csv").write_text("wav,text\na.wav,hello\n")
    with pytest.raises(DataError, match=r"bad.csv, line 2: there is no path; a list needs a column path"):
        listed(folder / "bad.csv")


def test_datasets_are_read_row_by_row(folder):
    audio = {"bytes": (folder / "clips" / "b.wav").read_bytes(), "path": "b.wav"}
    rows = pa.table({"id": ["x", "y"], "audio": [audio, audio], "hypothesis": ["so heart", None]})
    (folder / "built").mkdir()
    pq.write_table(rows, folder / "built" / "train.parquet")
    first, second = listed(folder / "built")
    assert (first.id, first.text, second.text) == ("x", "so heart", None)
    assert first.load() == {"audio": audio, "path": "x", "text": "so heart"}
    assert [recording.load()["audio"] for recording in listed(folder / "built" / "train.parquet")] == [audio, audio]


def test_parquet_of_paths(folder):
    pq.write_table(pa.table({"path": ["clips/b.wav"]}), folder / "paths.parquet")
    assert listed(folder / "paths.parquet") == [Recording("clips/b.wav", str(folder / "clips" / "b.wav"))]
    pq.write_table(pa.table({"wav": ["clips/b.wav"]}), folder / "other.parquet")
    with pytest.raises(DataError, match="no column audio, path or hypothesis; it has wav"):
        listed(folder / "other.parquet")


def test_hypotheses_find_their_recordings(folder):
    (folder / "h.jsonl").write_text(json.dumps({"id": "deeper/a", "hypothesis": "so heart"}) + "\n")
    found = list(with_hypotheses(list_recordings([str(folder / "clips")]), folder / "h.jsonl"))
    assert [recording.text for recording in found] == [None, "so heart"]
    with pytest.raises(DataError, match="none of its 1 hypotheses"):
        list(with_hypotheses(iter([Recording("x.wav", "x.wav")]), folder / "h.jsonl"))
