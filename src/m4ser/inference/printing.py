"""Rows of predictions on a terminal: JSON lines, or lines for people."""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from m4ser.files import write_whole
from m4ser.inference.subtitles import to_srt
from m4ser.progress import track


def print_rows(rows: Iterable[dict[str, Any]], count: int, as_json: bool = False, srt: Path | None = None) -> bool:
    """Print each row as it comes, errors for people on stderr; return whether there was an error.

    Args:
        rows: of [`predict_rows`]. count: how many they are. srt: a file for the timeline as subtitles.
    """
    failed = False
    with track(count, "recording", "Predicting") as progress:  # what is printed goes above a bar
        for row in rows:
            failed |= "error" in row
            if srt is not None and "timeline" in row:
                write_whole(srt, to_srt(row["timeline"]))
            progress.write(
                json.dumps(row) if as_json else format_row(row),
                file=sys.stderr if "error" in row and not as_json else sys.stdout,
            )
            progress.update()
    return failed


def format_row(row: dict[str, Any]) -> str:
    """Format a row as a line, with one more for each entry of its timeline."""
    if "error" in row:
        return f"{row['path']}\t{row['error'].removeprefix(row['path']).removeprefix(': ')}"
    warning = f"\t{row['warning']}" if "warning" in row else ""
    lines = [f"{row['path']}\t{_format_scores(row)}{warning}{_format_correction(row)}"]
    for entry in row.get("timeline", ()):
        times = f"{entry['start']:.2f}\t{entry['end']:.2f}"
        text = _format_correction(entry) or f"\t{entry['text']}"
        speaker = f"\t{entry['speaker']}" if "speaker" in entry else ""
        lines.append(f"{row['path']}\t{times}{speaker}\t{_format_scores(entry)}{text}")
    return "\n".join(lines)


def _format_scores(row: dict[str, Any]) -> str:
    scores = "  ".join(f"{label} {score:.3f}" for label, score in row["scores"].items())
    return scores if row["label"] else f"abstains: {scores}"


def _format_correction(row: dict[str, Any]) -> str:
    return f"\t{row['text']} -> {row['correction']}" if "correction" in row else ""
