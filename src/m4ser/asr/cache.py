"""Whisper's transcriptions by the content of the audio: lines that are added and never changed."""

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from io import FileIO
from pathlib import Path
from typing import Any

from m4ser.files import write_whole


class TranscriptCache:
    """Transcriptions on disk. Each process writes a file of its own, and every process loads all of them.

    A process that is killed in the middle of a line leaves it cut. It stays so: loading skips it, and the next write
    begins a new line.

    Args:
        folder: of any number of models' transcriptions; it is made when the first one is added.
        settings: all that a transcription depends on but the samples, as JSON can hold it.
        process_index: of the process that writes.
    """

    def __init__(self, folder: str | Path, settings: Mapping[str, Any], process_index: int = 0):
        self._settings = json.dumps(settings, sort_keys=True, indent=1)
        self.folder = Path(folder) / hashlib.sha256(self._settings.encode()).hexdigest()[:16]
        self._path = self.folder / f"process-{process_index}.jsonl"

    def keys(self) -> set[str]:
        """Return the keys of all transcriptions."""
        return {key for key, _ in self._rows() if key}

    def load(self, keys: Collection[str]) -> dict[str, dict[str, Any]]:
        """Return {key: transcription} of those of `keys` that have one."""
        found: dict[str, dict[str, Any]] = {}
        for key, transcription in self._rows():
            if key in keys:
                found.setdefault(key, transcription)
        return found

    def _rows(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for path in sorted(self.folder.glob("process-*.jsonl")):
            with path.open(encoding="utf-8", errors="replace") as file:
                yield from map(_parse, file)

    def append(self, transcriptions: Mapping[str, Mapping[str, Any]]) -> None:
        """Add {key: transcription}; it is with the operating system before this returns."""
        lines = "".join(json.dumps({"key": key, **one}) + "\n" for key, one in transcriptions.items())
        self.folder.mkdir(parents=True, exist_ok=True)
        if not (self.folder / "settings.json").exists():
            write_whole(self.folder / "settings.json", self._settings)
        # Unbuffered: the system appends what it is given at once as a whole, whatever else is appended meanwhile.
        with self._path.open("ab+", buffering=0) as file:
            if file.tell() and not self._ends_a_line(file):
                lines = "\n" + lines
            content = lines.encode()
            while content:  # a disk that fills up takes a part, and refuses the next
                content = content[file.write(content) :]

    @staticmethod
    def _ends_a_line(file: FileIO) -> bool:
        file.seek(-1, 2)
        return file.read(1) == b"\n"


def _parse(line: str) -> tuple[str, dict[str, Any]]:
    """Return (key, transcription) of a whole line, ("", {}) of a cut one."""
    try:
        row = json.loads(line)
    except ValueError:
        return "", {}
    return row.pop("key"), row
