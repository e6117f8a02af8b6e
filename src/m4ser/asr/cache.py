"""What Whisper answered, by the content of what it heard: lines that are added and never changed."""

import hashlib
import json
from pathlib import Path


class TranscriptCache:
    """Answers on disk. Each process writes a file of its own, and every process reads all of them.

    A process that is killed in the middle of a line leaves it cut. It stays so: whoever reads skips it, and whoever
    writes on begins a new line.

    Args:
        folder: of any number of models' answers; it is made where it does not exist.
        settings: what decides on an answer but the samples, as JSON can hold it.
        process_index: of the process that writes.
    """

    def __init__(self, folder, settings, process_index=0):
        written = json.dumps(settings, sort_keys=True, indent=1)
        self.folder = Path(folder) / hashlib.sha256(written.encode()).hexdigest()[:16]
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "settings.json").write_text(written)
        self._path = self.folder / f"process-{process_index}.jsonl"

    def read(self, keys):
        """The answers to those of `keys` that have one: {key: answer}."""
        answers = {}
        for path in sorted(self.folder.glob("process-*.jsonl")):
            with path.open(encoding="utf-8", errors="replace") as file:
                for line in file:
                    key, answer = _parse(line)
                    if key in keys:
                        answers.setdefault(key, answer)
        return answers

    def append(self, answers):
        """Add {key: answer}; it is with the operating system before this returns."""
        lines = "".join(json.dumps({"key": key, **answer}) + "\n" for key, answer in answers.items())
        with self._path.open("ab+") as file:
            if file.tell() and not self._ends_a_line(file):
                lines = "\n" + lines
            file.write(lines.encode())

    @staticmethod
    def _ends_a_line(file):
        file.seek(-1, 2)
        return file.read(1) == b"\n"


def _parse(line):
    """(key, answer) of a whole line, (None, None) of a cut one."""
    try:
        row = json.loads(line)
    except ValueError:
        return None, None
    return row.pop("key"), row
