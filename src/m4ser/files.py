"""Files as a whole: written completely or not at all, digests of what is in them, and names that lead nowhere."""

import hashlib
import os
from pathlib import Path
from uuid import uuid4

BYTES_PER_READ = 1 << 20


def write_whole(path: str | Path, text: str) -> None:
    """Write a text file completely, or leave the one that is there as it is."""
    # A name of its own: several processes may write the same file, and the last one's stays.
    unfinished = Path(f"{path}.{uuid4().hex}.tmp")
    try:
        with unfinished.open("x", encoding="utf-8", newline="") as file:
            file.write(text)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


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


def refuse_missing_folder(name: str | Path, kind: str) -> None:
    """Refuse at once what can only be a folder here and is not there; what may be a Hub id is left to the Hub.

    No Hub id are `/a`, `./a`, `~/a`, `a/b/c`, and `a/b` where there is a folder `a`.

    Args:
        kind: what is to be there, as "model".

    Raises:
        ValueError: naming it.
    """
    path = Path(name).expanduser()
    is_local = (
        str(name).startswith((".", "~", "/")) or len(path.parts) > 2 or (path.parts[1:] and path.parent.is_dir())
    )
    if is_local and not path.exists():
        raise ValueError(f"There is no {kind} {name}: no such folder.")


def _update(digest: "hashlib._Hash", path: Path) -> None:
    with path.open("rb") as file:
        while block := file.read(BYTES_PER_READ):
            digest.update(block)
