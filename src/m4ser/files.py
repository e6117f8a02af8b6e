"""Files as a whole: written completely or not at all, and digests of what is in them."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from m4ser.model.saving_m4ser import flush, unfinished_path

BYTES_PER_READ = 1 << 20


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Give a path to write to, whose file replaces that of `path` at the end; on an error that one stays as it is."""
    path = Path(path)
    unfinished = unfinished_path(path)
    try:
        yield unfinished
        flush(unfinished)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def write_whole(path: str | Path, content: str | bytes) -> None:
    """Write a file, text as UTF-8, completely, or leave the one that is there as it is."""
    with whole_file(path) as unfinished:
        unfinished.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def weights_written_to(path: str | Path) -> Iterator[None]:
    """Make the system's refusal to write weights in this context, such as on a full disk, the OSError that it is.

    Raises:
        OSError: naming the path.
    """
    try:
        yield
    except SafetensorError as error:
        raise OSError(f"{path} could not be written: {error}.") from error


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
