"""Rows of predictions on a terminal: JSON lines, or lines for people."""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from m4ser.files import write_whole
from m4ser.inference.subtitles import to_srt, to_vtt
from m4ser.progress import track


def print_rows(
    rows: Iterable[dict[str, Any]],
    count: int,
    as_json: bool = False,
    srt: Path | None = None,
    vtt: Path | None = None,
) -> bool:
    """Print each row as it comes, errors for people on stderr; return whether there was an error.

    Args:
        rows: of [`predict_rows`]. count: how many they are. srt, vtt: files for the timeline as subtitles, as
            SubRip and as WebVTT.
    """
    failed = False
    with track(count, "recording", "Predicting") as progress:  # what is printed goes above a bar
        for row in rows:
            failed |= "error" in row
            for path, to_subtitles in ((srt, to_srt), (vtt, to_vtt)):
                if path is not None and "timeline" in row:
                    write_whole(path, to_subtitles(row["timeline"]))
            progress.write(
                json.dumps(row) if as_json else format_row(row),
                file=sys.stderr if "error" in row and not as_json else sys.stdout,
            )
            progress.update()
    return failed


def format_row(row: dict[str, Any]) -> str:
    """Format a row as a line, with one more for each entry of its timeline, which then have the texts."""
    if "error" in row:
        return f"{row['path']}\t{row['error'].removeprefix(row['path']).removeprefix(': ')}"
    warning = f"\t{row['warning']}" if "warning" in row else ""
    text = "" if "timeline" in row else _format_text(row)
    lines = [f"{row['path']}\t{_format_scores(row)}{warning}{text}"]
    for entry in row.get("timeline", ()):
        times = f"{entry['start']:.2f}\t{entry['end']:.2f}"
        speaker = f"\t{entry['speaker']}" if "speaker" in entry else ""
        lines.append(f"{row['path']}\t{times}{speaker}\t{_format_scores(entry)}{_format_text(entry)}")
    return "\n".join(lines)


def _format_scores(row: dict[str, Any]) -> str:
    scores = "  ".join(f"{label} {score:.3f}" for label, score in row["scores"].items())
    return scores if row["label"] else f"abstains: {scores}"


def _format_text(row: dict[str, Any]) -> str:
    if "correction" in row:
        return f"\t{row['text']} -> {row['correction']}"
    return f"\t{row['text']}" if row.get("text") else ""
