"""Subtitles of a timeline, as FFmpeg's parsers read them."""

import av
import pytest

from m4ser.inference.subtitles import to_srt, to_vtt

WORDS = [
    {"text": "so", "start": 3661.0015, "end": 3661.2},
    {"text": "heart", "start": 3661.3, "end": 3661.6},
    {"text": "beats", "start": 3661.3, "end": 3661.9},
    {"text": "on", "start": 3662.0, "end": 3662.02},
]
ENTRY = {"start": 3661.0015, "end": 3662, "label": None, "text": "so heart beats on"}
TIMELINE = [
    {"start": 0, "end": 1.25, "label": "sad", "speaker": "ann & ben", "text": "so <i>heart</i> --> 5"},
    {"start": 1.25, "end": 2.5, "label": "happy", "text": "one\n\ntwo", "correction": ""},
    {"start": 2.5, "end": 4, "label": "angry", "text": ""},
    ENTRY | {"words": WORDS},
]


def parsed(path):
    """Return (start, end, text) of subtitles in a file, in seconds, by FFmpeg."""
    with av.open(str(path)) as file:
        (stream,) = file.streams
        packets = [packet for packet in file.demux(stream) if packet.size]
        return [
            (
                float(packet.pts * packet.time_base),
                float((packet.pts + packet.duration) * packet.time_base),
                bytes(packet).decode(),
            )
            for packet in packets
        ]


def test_texts_corrections_and_speakers():
    assert to_srt([ENTRY]) == "1\n01:01:01,002 --> 01:01:02,000\n[uncertain] so heart beats on\n"
    changed = ENTRY | {"label": "sad", "speaker": "ann", "correction": "so hard", "words": WORDS}
    assert "[ann, sad] so hard\n" in to_srt([changed])
    assert to_vtt([changed]) == "WEBVTT\n\n01:01:01.002 --> 01:01:02.000\n[ann, sad] so hard\n"
    assert to_vtt([]) == "WEBVTT\n" and to_srt([]) == ""


def test_words_have_times_that_grow_inside_the_subtitle():
    expected = "[uncertain] so <01:01:01.300>heart beats on"
    assert to_vtt([ENTRY | {"words": WORDS}]).splitlines()[-1] == expected
    assert "<" not in to_srt([ENTRY | {"words": WORDS}])


@pytest.mark.parametrize("suffix", ["srt", "vtt"])
def test_another_parser_reads_what_was_meant(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    path.write_text({"srt": to_srt, "vtt": to_vtt}[suffix](TIMELINE), encoding="utf-8")
    found = parsed(path)
    times = [(entry["start"], entry["end"]) for entry in TIMELINE]
    assert [one[:2] for one in found] == [pytest.approx(one, abs=0.001) for one in times]
    texts = [text for *_, text in found]
    assert texts[1:3] == ["[happy] one two", "[angry]"]
    assert (
        texts[0]
        == {
            "srt": "[ann & ben, sad] so <i>heart</i> --> 5",
            "vtt": "[ann &amp; ben, sad] so &lt;i&gt;heart&lt;/i&gt; --&gt; 5",
        }[suffix]
    )
