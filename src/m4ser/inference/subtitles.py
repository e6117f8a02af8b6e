"""A timeline as subtitles, SubRip or WebVTT: what is said, by whom, and with which emotion.

<https://www.w3.org/TR/webvtt1>
"""

from collections.abc import Iterable, Mapping
from typing import Any

ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})  # of WebVTT


def to_srt(timeline: Iterable[Mapping[str, Any]]) -> str:
    """Return subtitles of a timeline's entries, each with "start", "end" (seconds), "label", and maybe more.

    A subtitle is "[speaker, emotion] text"; an entry without a label says "uncertain".
    """
    blocks = []
    for number, entry in enumerate(timeline, start=1):
        times = f"{_time(entry['start'], ',')} --> {_time(entry['end'], ',')}"
        blocks.append(f"{number}\n{times}\n{f'{_heading(entry)} {_text(entry)}'.strip()}\n")
    return "\n".join(blocks)


def to_vtt(timeline: Iterable[Mapping[str, Any]]) -> str:
    """Return the subtitles of [`to_srt`] as WebVTT, each word after its time where the "words" are known."""
    blocks = ["WEBVTT\n"]
    for entry in timeline:
        times = f"{_time(entry['start'], '.')} --> {_time(entry['end'], '.')}"
        text = _text(entry).translate(ESCAPES)
        if entry.get("words") and not entry.get("correction"):
            text = " ".join(_timed_words(entry))
        blocks.append(f"{times}\n{f'{_heading(entry).translate(ESCAPES)} {text}'.strip()}\n")
    return "\n".join(blocks)


def _heading(entry: Mapping[str, Any]) -> str:
    return f"[{', '.join(filter(None, (entry.get('speaker'), entry['label'] or 'uncertain')))}]"


def _text(entry: Mapping[str, Any]) -> str:
    # On one line: an empty one would end the subtitle.
    return " ".join((entry.get("correction") or entry.get("text") or "").split())


def _timed_words(entry: Mapping[str, Any]) -> Iterable[str]:
    """Yield the words with their times, which have to grow and to lie inside the subtitle's own."""
    last, end = _time(entry["start"], "."), _time(entry["end"], ".")
    for word in entry["words"]:
        time, text = _time(word["start"], "."), word["text"].translate(ESCAPES)
        if last < time < end:
            yield f"<{time}>{text}"
            last = time
        else:
            yield text


def _time(seconds: float, separator: str) -> str:
    milliseconds = round(1000 * seconds)
    hours, rest = divmod(milliseconds, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    return f"{hours:02d}:{minutes:02d}:{rest // 1000:02d}{separator}{rest % 1000:03d}"
