"""Files as a whole: written completely or not at all, and digests of what is in them."""

import hashlib
import os
from pathlib import Path

BYTES_PER_READ = 1 << 20


def write_whole(path: str | Path, text: str) -> None:
    """Write a text file completely, or leave the one that is there as it is."""
    unfinished = Path(f"{path}.tmp")
    with unfinished.open("w", encoding="utf-8", newline="") as file:
        file.write(text)
    os.replace(unfinished, path)


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    _update(digest, path)
    return digest.hexdigest()


def folder_digest(folder: Path) -> str:
    """Return the SHA-256 of the files in a folder, their names included; folders in it are left out."""
    digest = hashlib.sha256()
    for path in sorted(file for file in folder.iterdir() if file.is_file()):
        digest.update(path.name.encode())
        _update(digest, path)
    return digest.hexdigest()


def _update(digest: "hashlib._Hash", path: Path) -> None:
    with path.open("rb") as file:
        while block := file.read(BYTES_PER_READ):
            digest.update(block)
