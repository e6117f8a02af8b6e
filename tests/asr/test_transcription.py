"""Hypotheses files by a tiny random Whisper: killed, resumed, shared by processes, extended."""

import json
import multiprocessing
import random
import signal
import time
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from m4ser.asr import transcription
from m4ser.asr.transcription import Work, cut_points, load_recordings, make_batches, plan_batches, transcribe
from m4ser.data.builders.hypotheses import read_hypotheses
from m4ser.data.schema import DataError
from m4ser.model.audio_m4ser import load_audio
from tests.asr.conftest import noise, recordings
from tests.tiny_whisper import WINDOW_SECONDS

WINDOW = WINDOW_SECONDS * 16000


@pytest.fixture
def run(tiny_whisper, tmp_path):
    """run(recordings): transcribe them with one cache; gives the file's rows by id."""

    def transcribe_them(rows, **options):
        options = {"cache_dir": tmp_path / "cache", "batch_size": 2} | options
        transcribe(rows, tiny_whisper, tmp_path / "deep" / "hypotheses.jsonl", **options)
        lines = (tmp_path / "deep" / "hypotheses.jsonl").read_text(encoding="utf-8").split("\n")[:-1]
        return {row["id"]: row for row in map(json.loads, lines)}

    return transcribe_them


def written(row):
    """All texts of a row, whatever the guard rejects."""
    return [row["hypothesis"], *(item["text"] for item in row.get("rejected", ()))]


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_one_line_a_recording_in_order_for_any_batch_size(run, whisper, batch_size):
    rows = recordings(7)
    transcribed = run(rows, batch_size=batch_size)
    assert list(transcribed) == [row["id"] for row in rows]
    for row in rows:
        (alone,) = whisper.transcribe_batch([row["audio"]["array"]])
        line = transcribed[row["id"]]
        assert alone["text"] in written(line)
        assert line["token_ids"] == alone["token_ids"]
        assert line["token_log_probabilities"] == pytest.approx(alone["token_log_probabilities"], abs=2e-4)
        mean = np.mean(alone["token_log_probabilities"])
        assert line["mean_log_probability"] == pytest.approx(mean, abs=2e-4)
        assert line["no_speech_probability"] == pytest.approx(alone["no_speech_probability"], abs=2e-4)
        assert len(line["word_confidences"]) == len(line["hypothesis"].split())
        assert line["hypothesis"] == "" or line["word_confidences"] == whisper.word_confidences(
            line | {"text": alone["text"]}
        )


def test_killed_and_resumed_writes_same_bytes(tiny_whisper, tmp_path):
    rows, moments = recordings(100, longest=0.5), random.Random(0)
    options = {"batch_size": 2, "cache_dir": tmp_path / "uninterrupted"}
    transcribe(rows, tiny_whisper, tmp_path / "whole.jsonl", **options)

    # A server that has the imports done, so that each run starts at once.
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["m4ser.asr"])
    output, cache = tmp_path / "killed.jsonl", tmp_path / "cache"
    arguments = {"batch_size": 2, "cache_dir": cache}
    for _ in range(10):
        before, wanted = size(cache), moments.randrange(3000)
        process = processes.Process(target=transcribe, args=(rows, tiny_whisper, output), kwargs=arguments)
        process.start()
        while process.is_alive() and size(cache) <= before + wanted:
            time.sleep(0.005)
        time.sleep(moments.uniform(0, 0.02))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL, "it was done before it was killed"
        assert not output.exists()
    lines = cache_lines(cache)
    assert 10 < len(lines) < 100
    transcribe(rows, tiny_whisper, output, **arguments)
    assert output.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert cache_lines(cache)[: len(lines) - 1] == lines[:-1]


def size(cache):
    return sum(path.stat().st_size for path in cache.rglob("process-0.jsonl"))


def cache_lines(cache):
    (path,) = cache.rglob("process-0.jsonl")
    return path.read_bytes().split(b"\n")[:-1]


@pytest.mark.parametrize("share", [0.0, 0.3, 0.999, 1.0])
def test_truncated_cache_gives_same_bytes(run, tmp_path, share):
    run(recordings(7))
    output = tmp_path / "deep" / "hypotheses.jsonl"
    (cache,) = (tmp_path / "cache").rglob("process-0.jsonl")
    expected, whole = output.read_bytes(), cache.read_bytes()
    cache.write_bytes(whole[: int(share * len(whole))])
    run(recordings(7))
    assert output.read_bytes() == expected


def test_only_missing_recordings_are_transcribed(run, tmp_path):
    run(recordings(5))
    (cache,) = (tmp_path / "cache").rglob("process-0.jsonl")
    marked = "".join(
        json.dumps(json.loads(line) | {"text": "from the cache"}) + "\n" for line in cache.read_text().splitlines()
    )
    cache.write_text(marked)
    transcribed = run(recordings(7))
    from_cache = {id for id, row in transcribed.items() if "from the cache" in written(row)}
    assert from_cache == {f"clip {index}" for index in range(5)}
    assert all(len(row["word_confidences"]) == len(row["hypothesis"].split()) for row in transcribed.values())
    added = cache.read_text().removeprefix(marked)
    assert added.count("\n") == 2


def test_cache_key_is_content(run, tmp_path):
    rows = recordings(3)
    transcribed = run([*rows, rows[0] | {"id": "the same again"}])
    assert len(cache_lines(tmp_path / "cache")) == 3
    assert transcribed["the same again"] == transcribed["clip 0"] | {"id": "the same again"}
    renamed = run([row | {"id": f"new {row['id']}"} for row in rows])
    assert len(cache_lines(tmp_path / "cache")) == 3
    assert [written(row) for row in renamed.values()] == [written(transcribed[row["id"]]) for row in rows]


def test_long_recording_is_transcribed_in_pieces(run, whisper):
    samples = noise(5, 3.7 * WINDOW_SECONDS)
    points = cut_points(samples, WINDOW)
    assert len(points) >= 5
    line = run([{"id": "long", "audio": {"array": samples, "sampling_rate": 16000}}])["long"]
    pieces = [whisper.transcribe_batch([samples[start:stop]])[0] for start, stop in pairwise(points)]
    assert line["token_ids"] == [token for piece in pieces for token in piece["token_ids"]]
    rejected = [item["text"] for item in line.get("rejected", ())]
    kept = [piece["text"] for piece in pieces if piece["text"] not in rejected]
    assert line["hypothesis"] == " ".join(filter(None, kept))
    confidences = [whisper.word_confidences(piece) for piece in pieces if piece["text"] not in rejected]
    assert len(line["word_confidences"]) == len(line["hypothesis"].split())
    assert line["word_confidences"] == pytest.approx([one for piece in confidences for one in piece], abs=2e-4)
    assert line["no_speech_probability"] == pytest.approx(
        max(piece["no_speech_probability"] for piece in pieces), abs=2e-4
    )


def test_cut_points_are_quiet():
    samples = noise(0, 5)
    samples[28000:29600] = 0  # in the last third of the first window
    first, *others = cut_points(samples, WINDOW)[1:]
    assert 28000 < first < 29600
    assert others[-1] == len(samples)
    assert all(0 < stop - start <= WINDOW for start, stop in pairwise([0, first, *others]))
    assert cut_points(samples[:WINDOW], WINDOW) == [0, WINDOW]


def test_text_over_silence_is_rejected(run):
    rows = [*recordings(2), {"id": "silent", "audio": {"array": np.zeros(16000), "sampling_rate": 16000}}]
    line = run(rows)["silent"]
    assert line["hypothesis"] == "" and line["word_confidences"] == []
    ((reason, text),) = (item.values() for item in line["rejected"])
    assert reason == "silence" and text
    assert len(line["token_ids"]) == len(line["token_log_probabilities"]) > 0


def test_unreadable_recordings_are_named_and_left_out(tiny_whisper, tmp_path):
    rows = [*recordings(2), {"id": "broken", "audio": {"bytes": b"not audio", "path": "broken.wav"}}]
    output = tmp_path / "hypotheses.jsonl"
    unreadable, rejected = transcribe(rows, tiny_whisper, output, cache_dir=tmp_path)
    assert unreadable.keys() == {"broken"} and unreadable["broken"].startswith("broken.wav: not an audio file")
    assert read_hypotheses(output).texts.keys() == {"clip 0", "clip 1"}
    assert rejected.total() == output.read_text().count('"reason"')


def test_rows_without_audio_raise(tiny_whisper, tmp_path):
    with pytest.raises(DataError, match="There is no recording to transcribe"):
        transcribe([{"id": "text", "audio": None}], tiny_whisper, tmp_path / "hypotheses.jsonl", cache_dir=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["no newline", '["a"]\n', '{"id": "clip 0", "hypothesis": "by another"}\n'])
def test_foreign_output_file_raises_and_is_unchanged(tiny_whisper, tmp_path, text):
    output = tmp_path / "other.jsonl"
    output.write_text(text)
    with pytest.raises(DataError, match=r"other\.jsonl holds other things"):
        transcribe(recordings(1), tiny_whisper, output, cache_dir=tmp_path)
    assert output.read_text() == text


def test_batches_are_of_like_length_longest_first():
    rows = recordings(9)
    pieces = load_recordings(rows, range(9), WINDOW).pieces
    batches = make_batches(pieces, 4)
    assert [len(batch) for batch in batches] == [4, 4, 1]
    lengths = [piece.stop - piece.start for batch in batches for piece in batch]
    assert lengths == sorted((len(row["audio"]["array"]) for row in rows), reverse=True)
    keys = [[piece.key for piece in batch] for batch in batches]
    other_way = load_recordings(rows, range(8, -1, -1), WINDOW).pieces
    assert [[piece.key for piece in batch] for batch in make_batches(other_way, 4)] == keys


def test_recordings_are_planned_by_their_headers(tmp_path):
    seconds = {"a": 3, "b": 1, "c": 2, "d": 1}
    rows = []
    for name, length in seconds.items():
        soundfile.write(tmp_path / f"{name}.wav", np.zeros(16000 * length), 16000)
        rows.append({"id": name, "audio": {"bytes": None, "path": str(tmp_path / f"{name}.wav")}})
    rows.append({"id": "broken", "audio": {"bytes": b"no audio", "path": "broken.wav"}})
    rows.append({"id": "text", "audio": None})
    assert list(plan_batches(rows, 2)) == [[0, 2], [1, 3], [4, 5]]
    assert list(plan_batches(rows, 2, planned_seconds=3)) == [[0], [2, 1], [3, 4], [5]]


def test_each_recording_is_decoded_once_and_progress_counts_recordings(tiny_whisper, tmp_path, monkeypatch, capsys):
    decoded = []
    monkeypatch.setattr(transcription, "load_audio", lambda audio: decoded.append(audio) or load_audio(audio))
    monkeypatch.setattr("m4ser.progress.SECONDS_PER_LINE", 0)
    long = {"id": "long", "audio": {"array": noise(9, 5 * WINDOW_SECONDS), "sampling_rate": 16000}}
    rows = [*recordings(3), long]
    transcribe(rows, tiny_whisper, tmp_path / "hypotheses.jsonl", batch_size=2, cache_dir=tmp_path / "cache")
    assert len(decoded) == 4
    assert "Transcribing: 4 of 4 recordings" in capsys.readouterr().err.splitlines()[-1]


def test_process_decodes_its_own_share_alone():
    rows = recordings(7)
    workers = [Work(None, None, set(), 2, SimpleNamespace(num_processes=2, process_index=index)) for index in (0, 1)]
    batches = list(enumerate(plan_batches(rows, 2)))
    shares = [{row for number, batch in batches if work.takes(number) for row in batch} for work in workers]
    assert shares[0] | shares[1] == set(range(7)) and not shares[0] & shares[1]
