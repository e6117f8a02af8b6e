"""The cache keeps what is whole, whatever a killed writer left."""

import json

import pytest

from m4ser.asr.cache import TranscriptCache

ANSWERS = {key: {"text": f"text {key} \u2028 é"} for key in "abc"}


def lines(path):
    return path.read_bytes().splitlines(keepends=True)


@pytest.mark.parametrize("lost", [0, 1, 2, 20])
def test_a_cut_line_is_skipped_and_what_follows_is_kept(tmp_path, lost):
    TranscriptCache(tmp_path, {}).append(ANSWERS)
    (path,) = tmp_path.rglob("process-0.jsonl")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) - lost])
    cache = TranscriptCache(tmp_path, {})
    kept = {"a", "b", "c"} if lost < 2 else {"a", "b"}  # a line without its end is whole
    assert cache.read(set("abcd")) == {key: ANSWERS[key] for key in kept}
    cache.append({"d": {"text": "later"}})
    assert cache.read(set("abcd")) == {key: ANSWERS[key] for key in kept} | {"d": {"text": "later"}}
    assert path.read_bytes().startswith(whole[: len(whole) - lost])


def test_every_process_writes_its_own_file_and_reads_all(tmp_path):
    first, second = (TranscriptCache(tmp_path, {}, index) for index in (0, 1))
    first.append({"a": ANSWERS["a"]})
    second.append({"b": ANSWERS["b"]})
    assert first.read(set("abc")) == second.read(set("abc")) == {key: ANSWERS[key] for key in "ab"}
    assert first.read({"b"}) == {"b": ANSWERS["b"]}


def test_other_settings_have_other_answers(tmp_path):
    TranscriptCache(tmp_path, {"language": "en"}).append(ANSWERS)
    assert TranscriptCache(tmp_path, {"language": "de"}).read(set("abc")) == {}
    assert TranscriptCache(tmp_path, {"language": "en"}).read(set("abc")) == ANSWERS
    assert {json.loads(path.read_text())["language"] for path in tmp_path.rglob("settings.json")} == {"en", "de"}


def test_the_first_answer_counts_and_nothing_is_changed(tmp_path):
    cache = TranscriptCache(tmp_path, {})
    cache.append(ANSWERS)
    (path,) = tmp_path.rglob("process-0.jsonl")
    before = path.read_bytes()
    cache.append({"a": {"text": "another"}})
    assert cache.read({"a"}) == {"a": ANSWERS["a"]}
    assert path.read_bytes().startswith(before)
