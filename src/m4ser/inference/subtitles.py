"""A timeline as SubRip subtitles: what is said, by whom, and with which emotion."""

from collections.abc import Iterable, Mapping
from typing import Any


def to_srt(timeline: Iterable[Mapping[str, Any]]) -> str:
    """Return subtitles of a timeline's entries, each with "start", "end" (seconds), "label", and maybe more.

    A subtitle is "[speaker, emotion] text"; an entry without a label says "uncertain".
    """
    blocks = []
    for number, entry in enumerate(timeline, start=1):
        heading = ", ".join(filter(None, (entry.get("speaker"), entry["label"] or "uncertain")))
        text = entry.get("correction") or entry.get("text") or ""
        times = f"{_time(entry['start'])} --> {_time(entry['end'])}"
        blocks.append(f"{number}\n{times}\n{f'[{heading}] {text}'.strip()}\n")
    return "\n".join(blocks)


def _time(seconds: float) -> str:
    milliseconds = round(1000 * seconds)
    hours, rest = divmod(milliseconds, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    return f"{hours:02d}:{minutes:02d}:{rest // 1000:02d},{rest % 1000:03d}"
