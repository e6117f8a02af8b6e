"""A dataset goes to the Hub over HTTP, with its recordings or without, and `load_dataset` reads it back."""

import io
import runpy
import sys
from dataclasses import replace

import pyarrow.parquet as pq
import pytest
from huggingface_hub import DatasetCard

from m4ser.data.builders.writing import write_dataset
from m4ser.hub.datasets import is_redistributable
from tests.conftest import ROOT
from tests.isolated_process import run_isolated
from tests.loopback_hub import TOKEN
from tests.saved_models import SIZES
from tests.tiny_corpus import LABELS, utterances

REPO_ID = "org/m4ser-synthetic"
# A checksum stands for the bytes of a recording.
LOAD = """
import datasets, zlib

def short(row):
    audio = row.get("audio")
    return row | ({"audio": [zlib.crc32(audio["bytes"]), audio["path"]]} if audio else {})

def rows(name, streaming):
    corpus = datasets.load_dataset(name, streaming=streaming)
    return {split: [short(row) for row in rows] for split, rows in corpus.items()}

print(json.dumps([rows(name, streaming) for name in sys.argv[1:] for streaming in (False, True)]))
"""


@pytest.fixture
def push_here(hub, monkeypatch, capsys):
    """push_here(folder, repo_id, *options): the script in this process; gives what it says beside the address."""

    def run(folder, repo_id, *options):
        for name, value in {"ENDPOINT": hub.endpoint, "HF_HUB_OFFLINE": False, "HF_HUB_DISABLE_XET": True}.items():
            monkeypatch.setattr(f"huggingface_hub.constants.{name}", value)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setattr(sys, "argv", ["push_dataset", str(folder), "--repo_id", repo_id, *options])
        runpy.run_path(str(ROOT / "hub_scripts" / "push_dataset.py"), run_name="__main__")
        printed = capsys.readouterr()
        assert printed.out.startswith(f"{hub.endpoint}/datasets/{repo_id}/commit/")
        return printed.err

    return run


@pytest.fixture(scope="module")
def restricted(tmp_path_factory):
    """A dataset whose license is no open one, as IEMOCAP's; its builder has found something."""
    folder = tmp_path_factory.mktemp("restricted")
    findings = {"too short": ["clip 1"]}
    write_dataset(utterances(), LABELS, folder, title="R", description="D.", license_id="other", findings=findings)
    return folder


def columns(files, split="train"):
    return pq.read_schema(io.BytesIO(files[f"data/{split}-00000-of-00001.parquet"])).names


def test_pushed_dataset_is_read_back(hub, push, push_here, tiny_run, restricted, tmp_path):
    corpus, names = tiny_run.parent / "corpus", {f"data/{split}-00000-of-00001.parquet" for split in SIZES}
    result = push("push_dataset", corpus, REPO_ID)
    assert result.returncode == 0, result.stderr
    assert set(hub.files(REPO_ID, "datasets")) == {"README.md"} | names
    assert result.stdout.startswith(f"{hub.endpoint}/datasets/{REPO_ID}/commit/")
    said = push_here(restricted, "org/restricted")
    assert "The recordings stay here: the license 'other' is not known" in said
    assert set(hub.files("org/restricted", "datasets")) == {"README.md", "report.json"} | names

    sources = (REPO_ID, corpus, "org/restricted", restricted)
    there, streamed, here, _, without, without_streamed, whole, _ = run_isolated(
        LOAD, *sources, **hub.environment(tmp_path)
    )
    assert there == streamed == here
    assert {split: len(rows) for split, rows in there.items()} == SIZES
    for rows in whole.values():
        for row in rows:
            assert len(row.pop("audio")) == 2
    assert without == without_streamed == whole


def test_license_decides_on_recordings(hub, push_here, restricted, tiny_run):
    assert "stay here" not in push_here(restricted, "org/said", "--with_audio")
    assert columns(hub.files("org/said", "datasets"))[:2] == ["id", "audio"]
    assert hub.files("org/said", "datasets")["README.md"] == (restricted / "README.md").read_bytes()
    assert "stay here" not in push_here(tiny_run.parent / "corpus", "org/text", "--without_audio")
    assert "audio" not in columns(hub.files("org/text", "datasets"))


def test_paths_stay_here(hub, push_here, refusal, tmp_path):
    here = [replace(one, asr_model_id="/else/a-user/whisper") for one in utterances()]
    write_dataset(here, LABELS, tmp_path / "here", title="R", description="D.", license_id="mit")
    push_here(tmp_path / "here", "org/here")
    files = hub.files("org/here", "datasets")
    train = pq.read_table(io.BytesIO(files["data/train-00000-of-00001.parquet"]))
    assert set(train.column("asr_model_id").to_pylist()) == {"whisper"} and "audio" in train.column_names
    assert not any(b"a-user" in content for content in files.values())
    ids = [replace(one, id=f"/else/a-user/{one.id}") for one in utterances()]
    write_dataset(ids, LABELS, tmp_path / "ids", title="R", description="D.", license_id="mit")
    said = refusal("push_dataset", tmp_path / "ids", "org/ids")
    assert "is a path on this machine; build it again with ids of its own." in said
    assert ("datasets", "org/ids") not in hub.repositories


def test_card_has_counts_word_error_rate_and_license(hub, push_here, restricted):
    push_here(restricted, "org/card")
    card = DatasetCard(hub.files("org/card", "datasets")["README.md"].decode())
    assert card.data.license == "other"
    (train,) = (line for line in card.text.splitlines() if line.startswith("| train |"))
    assert " 11 |" in train and train.rstrip("| ").endswith(" %")
    assert "The recordings are not in this repository" in card.text
    assert "The recordings are not in this repository" not in (restricted / "README.md").read_text()


@pytest.mark.parametrize(
    ("license", "open_to_all"),
    [
        *((name, True) for name in ("cc-by-nc-sa-4.0", "cc0-1.0", "apache-2.0", "mit")),
        *((name, False) for name in ("other", "gpl-3.0", "unknown", None)),
    ],
)
def test_licenses(license, open_to_all):
    assert is_redistributable(license) is open_to_all


def test_folder_without_dataset_is_refused(refusal, tmp_path):
    (tmp_path / "README.md").write_text("Notes.")
    said = refusal("push_dataset", tmp_path, REPO_ID)
    assert said == f"error: {tmp_path} is no dataset: build it with datasets_builders first."


def test_missing_connection_is_named(refusal, tiny_run):
    nobody = "http://127.0.0.1:9"
    said = refusal("push_dataset", tiny_run.parent / "corpus", REPO_ID, endpoint=nobody)
    assert said.startswith(f"error: {REPO_ID} was not pushed to {nobody}: ")
