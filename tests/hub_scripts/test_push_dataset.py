"""A data set goes to the Hub over HTTP, and `load_dataset` reads it back."""

from tests.outside import run_outside
from tests.saved import SIZES

REPO_ID = "org/m4ser-synthetic"
# A checksum stands for the bytes of a recording.
LOAD = """
import datasets, zlib

def rows(name):
    corpus = datasets.load_dataset(name)
    return {
        split: [row | {"audio": [zlib.crc32(row["audio"]["bytes"]), row["audio"]["path"]]} for row in rows]
        for split, rows in corpus.items()
    }

print(json.dumps([rows(name) for name in sys.argv[1:]]))
"""


def test_load_dataset_reads_back_what_was_pushed(hub, push, tiny_run, tmp_path):
    corpus = tiny_run.parent / "corpus"
    result = push("push_dataset", corpus, REPO_ID)
    assert result.returncode == 0, result.stderr
    files = hub.files(REPO_ID, "datasets")
    names = {f"data/{split}-00000-of-00001.parquet" for split in ("train", "validation", "test")}
    assert set(files) == {"README.md"} | names
    assert result.stdout.startswith(f"{hub.endpoint}/datasets/{REPO_ID}/commit/")
    there, here = run_outside(LOAD, REPO_ID, corpus, **hub.environment(tmp_path))
    assert there == here
    assert {split: len(rows) for split, rows in there.items()} == SIZES


def test_a_folder_without_a_data_set_is_refused(refusal, tmp_path):
    (tmp_path / "README.md").write_text("Notes.")
    said = refusal("push_dataset", tmp_path, REPO_ID)
    assert said == f"error: {tmp_path} is no data set: build it with datasets_builders first."


def test_without_a_connection_it_says_so(refusal, tiny_run):
    nobody = "http://127.0.0.1:9"
    said = refusal("push_dataset", tiny_run.parent / "corpus", REPO_ID, endpoint=nobody)
    assert said.startswith(f"error: {REPO_ID} was not pushed to {nobody}: ")
