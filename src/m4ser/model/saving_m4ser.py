"""Saving as a whole: what is in a folder is the former model or the new one, whenever the process is killed."""

import filecmp
import glob
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

WEIGHTS = re.compile(r"model(-\d{5}-of-\d{5})?\.safetensors(\.index\.json)?")
CONFIGS = ("config.json", "processor_config.json")
WEIGHTS_RANK = 2
# A file that a living process writes is younger.
ABANDONED_SECONDS = 3600.0


@contextmanager
def saved_together(save_directory: str | os.PathLike) -> Iterator[Path]:
    """Give a folder to save into, whose files replace those of `save_directory` at the end; on an error none does.

    Nothing loads without the weights, or where none are saved without the config or the ONNX graph. They come last,
    and where another file changes, the former ones go first: no moment has files of both that load together.

    Args:
        save_directory: it is made where it does not exist; its other files stay.
    """
    folder = Path(save_directory)
    folder.mkdir(parents=True, exist_ok=True)
    made = unfinished_path(folder / "saved")
    made.mkdir()
    try:
        yield made
        for path in _files(made):
            share(path)
            flush(path)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise
    # Not removed when this fails: it then holds what is in the folder no longer, or not yet.
    _replace(made, folder)
    shutil.rmtree(made)


def unfinished_path(path: Path) -> Path:
    """Return a path of its own beside `path`, hidden from what reads all files of a folder, to be renamed to it.

    Several processes may write the same file, and the last one's stays. What killed ones have left is removed.
    """
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        with suppress(OSError):  # another process has removed it, or finished it
            if time.time() - max(file.stat().st_mtime for file in (left, *left.rglob("*"))) > ABANDONED_SECONDS:
                shutil.rmtree(left) if left.is_dir() else left.unlink()
    return path.with_name(f".{path.name}.{uuid4().hex}.tmp")


def share(path: Path) -> None:
    """Give a file the permissions that new files have here; safetensors lets none but its owner read it."""
    plain = path.with_name(f".{uuid4().hex}.tmp")
    plain.touch()
    with suppress(OSError):  # a file system without permissions
        path.chmod(plain.stat().st_mode)
    plain.unlink()


def flush(path: Path) -> None:
    """Have the system put a file or a folder's entries on disk before anything relies on it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _replace(made: Path, folder: Path) -> None:
    names = sorted((path.relative_to(made).as_posix() for path in _files(made)), key=lambda name: (_rank(name), name))
    if not names:
        return
    key = _rank(names[-1])
    earlier = [name for name in names if _rank(name) < key]
    former = [path.name for path in folder.iterdir() if _rank(path.name) == key]
    if key < WEIGHTS_RANK:
        former = [name for name in former if name in names]
    if not set(former) <= set(names) or any(_differs(made / name, folder / name) for name in earlier):
        (made / "former").mkdir()
        for name in former:
            os.replace(folder / name, made / "former" / name)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        os.replace(made / name, folder / name)


def _rank(name: str) -> int:
    return WEIGHTS_RANK if WEIGHTS.fullmatch(name) else int(name in CONFIGS or name.endswith(".onnx"))


def _differs(path: Path, former: Path) -> bool:
    return not former.is_file() or not filecmp.cmp(path, former, shallow=False)


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]
