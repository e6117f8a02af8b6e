"""Turns of a diarization tool, and a recording cut by them."""

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from m4ser import M4SERPipeline
from m4ser.data.schema import DataError
from m4ser.inference.predicting import predict_rows, timeline_options
from m4ser.inference.speakers import Turn, cut_turns, read_rttm, turns_of
from m4ser.inference.subtitles import to_srt

RATE = 100
LINE = "SPEAKER meeting 1 {} {} <NA> <NA> {} <NA> <NA>\n"


def test_rttm_is_read_by_recording(tmp_path):
    lines = [
        ";; a comment\n",
        "SPKR-INFO meeting 1 <NA> <NA> <NA> unknown ann <NA> <NA>\n",
        LINE.format(2.5, 1, "ben"),
        LINE.format(0, 3, "ann"),
    ]
    (tmp_path / "a.rttm").write_text("".join(lines))
    turns = read_rttm(tmp_path / "a.rttm")
    assert turns == {"meeting": [Turn(0, 3, "ann"), Turn(2.5, 3.5, "ben")]}
    assert turns_of("recordings/meeting.flac", turns) == turns_of("renamed.flac", turns) == turns["meeting"]
    with pytest.raises(DataError, match="no turns of 'other'; it has those of a, b"):
        turns_of("other.wav", {"a": [], "b": []})


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("SPEAKER meeting 1 soon 2 <NA> <NA> ann\n", "line 1: no RTTM"),
        ("SPEAKER meeting 1\n", "line 1: no RTTM"),
        (LINE.format(0, 0, "ann"), "lasts longer than 0 s"),
        (LINE.format(-1, 1, "ann"), "starts at 0 s or later"),
        ("start,end\n", "has no line SPEAKER"),
    ],
)
def test_what_is_no_rttm_is_refused(tmp_path, content, sentence):
    (tmp_path / "a.rttm").write_text(content)
    with pytest.raises(DataError, match=sentence):
        read_rttm(tmp_path / "a.rttm")


@given(
    st.lists(st.tuples(st.integers(0, 80), st.integers(1, 60)), min_size=1, max_size=6),
    st.integers(1, 40),
    st.integers(5, 50),
)
def test_turns_get_their_samples(spans, block, window):
    """Whatever the blocks, overlaps and ends: each piece holds the samples between its times."""
    samples = np.arange(100, dtype=np.float32)
    blocks = [samples[start : start + block] for start in range(0, 100, block)]
    turns = sorted(
        Turn(start / RATE, (start + length) / RATE, f"s{index}") for index, (start, length) in enumerate(spans)
    )
    covered = {turn.speaker: [] for turn in turns}
    for piece, cut in cut_turns(blocks, turns, RATE, window / RATE):
        start = round(piece.start * RATE)
        np.testing.assert_array_equal(cut, samples[start : start + len(cut)])
        assert len(cut) == round((piece.end - piece.start) * RATE) <= window
        covered[piece.speaker] += cut.tolist()
    for turn in turns:
        assert covered[turn.speaker] == samples[round(turn.start * RATE) : round(turn.end * RATE)].tolist()


@pytest.fixture
def meeting(tmp_path):
    rng = np.random.default_rng(0)
    soundfile.write(tmp_path / "meeting.flac", 0.3 * rng.standard_normal(16000 * 8), 16000)
    (tmp_path / "meeting.rttm").write_text(LINE.format(0, 6, "ann") + LINE.format(5.5, 2, "ben"))
    return tmp_path


def test_timeline_names_speakers(tiny_folder, meeting):
    classify, path = M4SERPipeline.from_pretrained(tiny_folder), str(meeting / "meeting.flac")
    windows = timeline_options([path], rttm=meeting / "meeting.rttm")
    (row,) = predict_rows(classify, [path], windows=windows)
    spans = [(entry["start"], entry["end"], entry["speaker"]) for entry in row["timeline"]]
    assert spans == [(0, 5, "ann"), (5, 6, "ann"), (5.5, 7.5, "ben")]
    samples, _ = soundfile.read(path, dtype="float32")
    expected = classify({"raw": samples[int(5.5 * 16000) : int(7.5 * 16000)], "sampling_rate": 16000})
    assert row["timeline"][2]["scores"] == pytest.approx({item["label"]: item["score"] for item in expected}, abs=1e-5)
    first, *_, last = to_srt(row["timeline"]).split("\n\n")
    assert first == f"1\n00:00:00,000 --> 00:00:05,000\n[ann, {row['timeline'][0]['label']}]"
    assert last.startswith("3\n00:00:05,500 --> 00:00:07,500\n[ben, ")


def test_options_of_a_timeline(meeting):
    assert timeline_options(["a.wav"]) is None
    assert timeline_options(["a.wav"], timeline=True) == {"window": 5.0, "hop": None}
    with pytest.raises(ValueError, match="add --timeline"):
        timeline_options(["a.wav"], hop=1)
    with pytest.raises(ValueError, match="leave --hop out"):
        timeline_options(["meeting.wav"], hop=1, rttm=meeting / "meeting.rttm")
    for suffix in ("srt", "vtt"):
        with pytest.raises(ValueError, match="one recording's subtitles"):
            timeline_options(["a.wav", "b.wav"], **{suffix: meeting / f"a.{suffix}"})
    assert timeline_options(["a.wav"], window="segments", vtt=meeting / "a.vtt") == {"window": "segments", "hop": None}
    assert timeline_options(["a.wav"], window="2.5", timeline=True) == {"window": 2.5, "hop": None}
    with pytest.raises(ValueError, match="a number of seconds, or segments, not words"):
        timeline_options(["a.wav"], window="words", timeline=True)
    with pytest.raises(ValueError, match="not cut into segments"):
        timeline_options(["meeting.wav"], window="segments", rttm=meeting / "meeting.rttm")
