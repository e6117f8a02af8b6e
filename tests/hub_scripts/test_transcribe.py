"""The script over a folder of recordings and over a built dataset."""

import io

import numpy as np
import pytest
import soundfile
from datasets import Dataset

from hub_scripts.transcribe import main
from m4ser.data.building import read_hypotheses
from m4ser.data.schema import DataError
from tests.tiny_whisper import save_tiny_whisper


@pytest.fixture(scope="module")
def asr(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whisper")
    save_tiny_whisper(folder)
    return str(folder)


def noise(seed, rate=16000):
    return 0.3 * np.random.default_rng(seed).standard_normal(rate)


def run_script(dataset, asr, output):
    main(["--dataset", str(dataset), "--asr", asr, "--output", str(output), "--batch_size", "2"])


def test_a_folder_of_recordings_and_a_bad_one_among_them(asr, tmp_path, capsys):
    folder = tmp_path / "recordings"
    (folder / "deeper").mkdir(parents=True)
    soundfile.write(folder / "a.wav", noise(1), 16000)
    soundfile.write(folder / "deeper" / "b.FLAC", noise(2, 8000), 8000)
    (folder / "broken.wav").write_bytes(b"not audio")
    (folder / "notes.txt").write_text("not a recording")
    with pytest.raises(SystemExit, match="1 of 3 recordings"):
        run_script(folder, asr, tmp_path / "hypotheses.jsonl")
    assert read_hypotheses(tmp_path / "hypotheses.jsonl").keys() == {"a", "b"}
    assert "broken.wav" in capsys.readouterr().err


def test_a_dataset_in_parquet_goes_on_where_it_stopped(asr, tmp_path):
    for split, seeds in {"train": [1, 2], "test": [3]}.items():
        audio = []
        for seed in seeds:
            buffer = io.BytesIO()
            soundfile.write(buffer, noise(seed), 16000, format="FLAC")
            audio.append({"bytes": buffer.getvalue(), "path": f"{seed}.flac"})
        rows = Dataset.from_dict(
            {"id": [f"clip {seed}" for seed in seeds], "audio": audio, "split": [split] * len(seeds)}
        )
        (tmp_path / "dataset" / "data").mkdir(parents=True, exist_ok=True)
        rows.to_parquet(tmp_path / "dataset" / "data" / f"{split}-00000-of-00001.parquet")
    output = tmp_path / "hypotheses.jsonl"
    output.write_text('{"id": "clip 2", "hypothesis": "by hand"}\n')
    run_script(tmp_path / "dataset", asr, output)
    hypotheses = read_hypotheses(output)
    assert hypotheses.keys() == {"clip 1", "clip 2", "clip 3"}
    assert hypotheses["clip 2"] == "by hand"


def test_nothing_to_transcribe_is_refused(asr, tmp_path):
    with pytest.raises(DataError, match="neither a dataset nor a recording"):
        run_script(tmp_path, asr, tmp_path / "hypotheses.jsonl")


def test_two_recordings_of_one_name_are_refused(asr, tmp_path):
    soundfile.write(tmp_path / "a.wav", noise(1), 16000)
    soundfile.write(tmp_path / "a.flac", noise(2), 16000)
    with pytest.raises(DataError, match="the same name"):
        run_script(tmp_path, asr, tmp_path / "hypotheses.jsonl")
