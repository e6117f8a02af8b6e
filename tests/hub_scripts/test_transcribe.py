"""The script over a folder of recordings and over a built dataset, on one process and on two, from a Hub."""

import io
import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
from datasets import Dataset

from hub_scripts.transcribe import main
from m4ser.data.builders.hypotheses import read_hypotheses
from m4ser.data.schema import DataError
from tests.conftest import ROOT
from tests.tiny_whisper import save_tiny_whisper
from tests.warm_python import warm

SCRIPT = "hub_scripts/transcribe.py"


@pytest.fixture(scope="module")
def asr(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whisper")
    save_tiny_whisper(folder)
    return str(folder)


def noise(seed, rate=16000):
    return 0.3 * np.random.default_rng(seed).standard_normal(rate)


def options(dataset, asr, output):
    cache = output.parent / f"cache of {output.stem}"
    return [
        *("--dataset", str(dataset), "--asr", asr, "--output", str(output)),
        *("--batch_size", "2", "--cache_dir", str(cache)),
    ]


def run_process(*command, **environment):
    return subprocess.run(
        [warm("python"), *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=os.environ | {"CUDA_VISIBLE_DEVICES": ""} | environment,
        timeout=300,
    )


def test_folder_with_broken_recording(asr, tmp_path, capsys):
    folder = tmp_path / "recordings"
    (folder / "deeper").mkdir(parents=True)
    soundfile.write(folder / "a.wav", noise(1), 16000)
    soundfile.write(folder / "deeper" / "b.FLAC", noise(2, 8000), 8000)
    soundfile.write(folder / "silent.wav", np.zeros(8000), 16000)
    (folder / "broken.wav").write_bytes(b"not audio")
    (folder / "notes.txt").write_text("not a recording")
    with pytest.raises(SystemExit, match="1 of 4 recordings"):
        main(options(folder, asr, tmp_path / "hypotheses.jsonl"))
    hypotheses = read_hypotheses(tmp_path / "hypotheses.jsonl").texts
    assert hypotheses.keys() == {"a", "deeper/b", "silent"}
    assert hypotheses["silent"] == ""
    printed = capsys.readouterr().err
    assert "broken.wav" in printed and "1 texts were rejected: silence." in printed


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """A dataset of five recordings in two splits."""
    folder = tmp_path_factory.mktemp("dataset")
    (folder / "data").mkdir()
    for split, seeds in {"train": [1, 2, 3], "test": [4, 5]}.items():
        audio = []
        for seed in seeds:
            buffer = io.BytesIO()
            soundfile.write(buffer, noise(seed, 4000 * seed), 16000, format="FLAC")
            audio.append({"bytes": buffer.getvalue(), "path": f"{seed}.flac"})
        rows = Dataset.from_dict(
            {"id": [f"clip {seed}" for seed in seeds], "audio": audio, "split": [split] * len(seeds)}
        )
        rows.to_parquet(folder / "data" / f"{split}-00000-of-00001.parquet")
    return folder


@pytest.fixture(scope="module")
def expected(asr, dataset, tmp_path_factory):
    """The file that one process writes."""
    output = tmp_path_factory.mktemp("alone") / "hypotheses.jsonl"
    main(options(dataset, asr, output))
    return output.read_bytes()


def test_dataset_with_all_its_splits(asr, expected):
    rows = [json.loads(line) for line in expected.splitlines()]
    assert sorted(row["id"] for row in rows) == [f"clip {seed}" for seed in (1, 2, 3, 4, 5)]
    assert {row["asr_model_id"] for row in rows} == {asr}


def test_two_processes_write_same_bytes(asr, dataset, expected, tmp_path):
    output = tmp_path / "hypotheses.jsonl"
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    result = run_process(*launch, SCRIPT, *options(dataset, asr, output))
    assert result.returncode == 0, result.stderr
    assert output.read_bytes() == expected
    shares = [path.read_bytes().count(b"\n") for path in tmp_path.rglob("process-*.jsonl")]
    assert sorted(shares) == [2, 3]


def test_two_commands_at_once(asr, dataset, expected, tmp_path):
    """On the same output and cache: each does all, and neither harms what the other has."""
    output = tmp_path / "hypotheses.jsonl"
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    command = [warm("python"), SCRIPT, *options(dataset, asr, output)]
    both = [subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE) for _ in range(2)]
    printed = [process.communicate(timeout=300)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], printed
    assert output.read_bytes() == expected
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"cache of {output.stem}", output.name]


def test_hub_model_is_cached_by_commit(hub, asr, dataset, expected, tmp_path):
    files = {path.name: path.read_bytes() for path in Path(asr).iterdir()}
    commit = "c0ffee" * 6 + "c0ff"
    hub.repositories["models", "org/tiny-whisper"] = [("0" * 40, {}), (commit, files)]
    output = tmp_path / "hypotheses.jsonl"
    command = [*options(dataset, "org/tiny-whisper", output), "--revision", commit]
    result = run_process(SCRIPT, *command, **hub.environment(tmp_path / "home"))
    assert result.returncode == 0, result.stderr
    assert output.read_bytes().replace(b"org/tiny-whisper", asr.encode()) == expected
    (settings,) = tmp_path.rglob("settings.json")
    assert json.loads(settings.read_text())["model"] == {"id": "org/tiny-whisper", "revision": commit}


def test_empty_folder_raises(asr, tmp_path):
    with pytest.raises(DataError, match="neither a dataset nor a recording"):
        main(options(tmp_path, asr, tmp_path / "hypotheses.jsonl"))


def test_two_recordings_of_one_name_raise(asr, tmp_path):
    soundfile.write(tmp_path / "a.wav", noise(1), 16000)
    soundfile.write(tmp_path / "a.flac", noise(2), 16000)
    with pytest.raises(DataError, match="the same name"):
        main(options(tmp_path, asr, tmp_path / "hypotheses.jsonl"))
