"""The cache keeps whole lines, wherever a writer was killed."""

import json
import multiprocessing

import pytest

from m4ser.asr.cache import TranscriptCache

TRANSCRIPTIONS = {key: {"text": f"text {key} \u2028 é"} for key in "abc"}


def lines(path):
    return path.read_bytes().splitlines(keepends=True)


@pytest.mark.parametrize("lost", [0, 1, 2, 20])
def test_cut_line_is_skipped_and_rest_kept(tmp_path, lost):
    TranscriptCache(tmp_path, {}).append(TRANSCRIPTIONS)
    (path,) = tmp_path.rglob("process-0.jsonl")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) - lost])
    cache = TranscriptCache(tmp_path, {})
    kept = {"a", "b", "c"} if lost < 2 else {"a", "b"}  # a line without its end is whole
    assert cache.load(set("abcd")) == {key: TRANSCRIPTIONS[key] for key in kept}
    cache.append({"d": {"text": "later"}})
    assert cache.load(set("abcd")) == {key: TRANSCRIPTIONS[key] for key in kept} | {"d": {"text": "later"}}
    assert path.read_bytes().startswith(whole[: len(whole) - lost])


def test_processes_write_own_files_and_load_all(tmp_path):
    first, second = (TranscriptCache(tmp_path, {}, index) for index in (0, 1))
    first.append({"a": TRANSCRIPTIONS["a"]})
    second.append({"b": TRANSCRIPTIONS["b"]})
    assert first.load(set("abc")) == second.load(set("abc")) == {key: TRANSCRIPTIONS[key] for key in "ab"}
    assert first.load({"b"}) == {"b": TRANSCRIPTIONS["b"]}


def test_settings_separate_transcriptions(tmp_path):
    TranscriptCache(tmp_path, {"language": "en"}).append(TRANSCRIPTIONS)
    assert TranscriptCache(tmp_path, {"language": "de"}).load(set("abc")) == {}
    assert TranscriptCache(tmp_path, {"language": "en"}).load(set("abc")) == TRANSCRIPTIONS
    assert {json.loads(path.read_text())["language"] for path in tmp_path.rglob("settings.json")} == {"en"}


def test_first_transcription_counts(tmp_path):
    cache = TranscriptCache(tmp_path, {})
    cache.append(TRANSCRIPTIONS)
    (path,) = tmp_path.rglob("process-0.jsonl")
    before = path.read_bytes()
    cache.append({"a": {"text": "another"}})
    assert cache.load({"a"}) == {"a": TRANSCRIPTIONS["a"]}
    assert path.read_bytes().startswith(before)


def append_long_ones(folder, name, barrier):
    cache = TranscriptCache(folder, {})
    barrier.wait()
    for number in range(200):
        cache.append({f"{name} {number} {part}": {"text": name * 5000} for part in range(4)})


def test_two_commands_lose_nothing(tmp_path):
    """Both write to the same file, more at once than a buffer holds."""
    context = multiprocessing.get_context("forkserver")
    barrier = context.Barrier(2)
    workers = [context.Process(target=append_long_ones, args=(tmp_path, name, barrier)) for name in "ab"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    (path,) = tmp_path.rglob("process-0.jsonl")
    # An empty line is where one saw the other's not yet ended.
    rows = [json.loads(line) for line in path.read_text().splitlines() if line]
    assert len(rows) == 2 * 200 * 4
    assert all(row["text"] == row["key"][0] * 5000 for row in rows)
