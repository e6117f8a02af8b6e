"""Scoring as a whole: to files and folders, killed and typed again, by several processes."""

import os
import shutil
import signal
import subprocess
import time

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from m4ser.data.schema import DataError
from m4ser.inference.bulk import Job, ScoringOptions, Summary, score
from m4ser.inference.recordings import list_recordings
from tests.loopback_hub import LoopbackHub
from tests.warm_python import warm

SHARD_SIZE = 10
TIMEOUT = 400  # seconds, on a busy machine


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Forty recordings, one of which is none."""
    folder, rng = tmp_path_factory.mktemp("clips"), np.random.default_rng(0)
    for index in range(40):
        samples = 0.3 * rng.standard_normal(int(16000 * rng.uniform(0.2, 1)))
        soundfile.write(folder / f"{index:02d}.wav", samples, 16000)
    (folder / "17.wav").write_text("no audio")
    return folder


@pytest.fixture(scope="module")
def whole(clips, tiny_folder, tmp_path_factory):
    """The table of all of them, scored without an interruption."""
    output = tmp_path_factory.mktemp("whole") / "scores"
    summary = score(Job(str(tiny_folder), device="cpu"), list_recordings([str(clips)]), output, SHARD_SIZE)
    assert summary == Summary(40, 1)
    return pd.read_parquet(output)


def command(tiny_folder, clips, output, *options):
    predict = [warm("python"), "-m", "m4ser_cli", "predict", str(clips), "--model", str(tiny_folder)]
    return [*predict, "--output", str(output), "--shard_size", str(SHARD_SIZE), *options]


def start(arguments):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"}
    return subprocess.Popen(
        arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def wait_for_shard(output, process):
    while process.poll() is None and not list(output.glob("shard-*")):
        time.sleep(0.01)


def test_table_is_in_order(clips, whole):
    assert whole["id"].tolist() == sorted(str(path) for path in clips.iterdir())
    assert whole["error"].notna().tolist() == [index == 17 for index in range(40)]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_file_holds_the_same_rows(clips, tiny_folder, whole, tmp_path, suffix):
    output = tmp_path / "new" / f"scores{suffix}"
    assert score(Job(str(tiny_folder), device="cpu"), list_recordings([str(clips)]), output) == Summary(40, 1)
    read = {".csv": pd.read_csv, ".jsonl": lambda path: pd.read_json(path, lines=True), ".parquet": pd.read_parquet}
    table = read[suffix](output)
    assert list(table.columns) == list(whole.columns)
    pd.testing.assert_series_equal(table["id"], whole["id"])
    for name in (column for column in whole.columns if column.startswith("score_")):
        np.testing.assert_allclose(table[name], whole[name], rtol=1e-5)
    assert [path.name for path in output.parent.iterdir()] == [output.name]


def test_formulas_are_no_formulas_in_csv(clips, tiny_folder, tmp_path):
    shutil.copy(clips / "00.wav", tmp_path / "=cmd|' C calc'!A0.wav")
    (tmp_path / "list.csv").write_text("id,path,hypothesis\n=1+1,=cmd|' C calc'!A0.wav,@SUM(A1:A9)\n")
    recordings = list_recordings([str(tmp_path / "list.csv")])
    assert score(Job(str(tiny_folder), device="cpu"), recordings, tmp_path / "scores.csv") == Summary(1, 0)
    (row,) = pd.read_csv(tmp_path / "scores.csv").to_dict("records")
    assert (row["id"], row["transcript"]) == ("'=1+1", "'@SUM(A1:A9)")


def test_names_need_not_be_unicode(clips, tiny_folder, tmp_path):
    """Neither a name of a file nor a text from broken JSON stops the others, of folders and lists."""
    folder = tmp_path / "recordings"
    folder.mkdir()
    shutil.copy(clips / "00.wav", folder / "a.wav")
    shutil.copy(clips / "01.wav", os.fsdecode(os.fsencode(folder) + b"/\xff.wav"))
    (tmp_path / "list.jsonl").write_text('{"id": "\\ud800", "path": "recordings/a.wav", "text": "so \\udfff"}\n')
    inputs, ids = [str(folder), str(tmp_path / "list.jsonl")], [f"{folder}/a.wav", rf"{folder}/\udcff.wav", r"\ud800"]
    read = {"scores": pd.read_parquet, "scores.csv": pd.read_csv}
    for name, read_table in read.items():
        score(Job(str(tiny_folder), device="cpu"), list_recordings(inputs), tmp_path / name)
        table = read_table(tmp_path / name)
        assert table["id"].tolist() == ids and table["error"].isna().all()
        assert table["transcript"].tolist()[-1] == r"so \udfff"
    arguments = command(tiny_folder, folder, "")
    printed, said = start(arguments[: arguments.index("--output")]).communicate(timeout=TIMEOUT)
    assert "recordings/\\udcff.wav" in printed, said


def test_csv_has_no_embeddings(clips, tiny_folder, tmp_path):
    job = Job(str(tiny_folder), device="cpu", options=ScoringOptions(embeddings=True))
    with pytest.raises(DataError, match="no column for embeddings"):
        score(job, list_recordings([str(clips)]), tmp_path / "scores.csv")


def test_killed_and_typed_again_it_goes_on(clips, tiny_folder, whole, tmp_path):
    output = tmp_path / "scores"
    killed = start(command(tiny_folder, clips, output))
    wait_for_shard(output, killed)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    done = {path: path.stat().st_mtime_ns for path in output.glob("shard-*")}
    again = start(command(tiny_folder, clips, output))
    _, said = again.communicate(timeout=TIMEOUT)
    assert again.returncode == 1 and said.endswith(
        f"m4ser: 1 of 40 recordings could not be used: see the column error in {output}.\n"
    )
    assert done and {path: path.stat().st_mtime_ns for path in done} == done  # nothing twice
    pd.testing.assert_frame_equal(pd.read_parquet(output), whole)


def test_processes_share_and_take_over(clips, tiny_folder, whole, tmp_path):
    output = tmp_path / "scores"
    both = [start(command(tiny_folder, clips, output, "--num_workers", "0")) for _ in range(2)]
    wait_for_shard(output, both[0])
    os.killpg(both[0].pid, signal.SIGKILL)
    for process in both:
        process.communicate(timeout=TIMEOUT)
    assert both[1].returncode == 1
    pd.testing.assert_frame_equal(pd.read_parquet(output), whole)


@pytest.mark.slow
def test_launched_processes_share(clips, tiny_folder, whole, tmp_path):
    output = tmp_path / "scores"
    launch = ["-m", "torch.distributed.run", "--nproc_per_node", "2", "-m", "m4ser_cli"]
    arguments = command(tiny_folder, clips, output)
    launched = start([arguments[0], *launch, *arguments[3:]])
    _, said = launched.communicate(timeout=TIMEOUT)
    assert launched.returncode == 1
    table = pd.read_parquet(output)
    assert len(table) == len(whole), said
    pd.testing.assert_frame_equal(table, whole)


def test_dataset_of_the_hub(clips, tiny_folder, whole, tmp_path):
    paths = sorted(clips.iterdir())[:3]
    audio = [{"bytes": path.read_bytes(), "path": path.name} for path in paths]
    buffer = pa.BufferOutputStream()
    pq.write_table(pa.table({"id": [str(path) for path in paths], "audio": audio}), buffer)
    predict = [warm("python"), "-m", "m4ser_cli", "predict", "org/clips", "--model", str(tiny_folder)]
    with LoopbackHub() as hub:
        files = {"data/train-00000-of-00001.parquet": buffer.getvalue().to_pybytes()}
        hub.repositories["datasets", "org/clips"] = [("c0ffee" * 6 + "c0ff", files)]
        result = subprocess.run(
            [*predict, "--output", tmp_path / "scores"],
            env=os.environ | hub.environment(tmp_path / "home") | {"CUDA_VISIBLE_DEVICES": ""},
            capture_output=True,
            text=True,
        )
    assert result.returncode == 0, result.stderr
    scores = pd.read_parquet(tmp_path / "scores")
    assert scores["id"].tolist() == whole["id"].tolist()[:3]
    columns = [name for name in whole.columns if name.startswith("score_")]
    np.testing.assert_allclose(scores[columns], whole[columns][:3], atol=1e-5)


def test_several_processes_need_a_folder(clips, tiny_folder, tmp_path):
    with pytest.raises(DataError, match="one file, which one process writes"):
        score(Job(str(tiny_folder)), list_recordings([str(clips)]), tmp_path / "scores.csv", ray_workers=2)
