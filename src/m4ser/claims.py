"""Which process has a folder: no two work on a run or a shard, and that of a process that has died is free again.

A claim is a file in the folder, `.claim-1`. Creating a file that must not exist yet is atomic on shared file
systems, too, so one of several processes gets it. Its holder locks the file (flock) and counts up in it every few
seconds. Another process takes it for abandoned

- on the same machine when the lock is free: the system frees it when the holder dies, however it dies;
- from another machine, or where the file system has no locks, when the count has stood still for two minutes. Locks
  are not trusted between machines, for some shared file systems grant them on each; nor are the machines' clocks
  compared.

Whoever takes over an abandoned claim creates the file of the next number, which again only one can.
"""

import os
import platform
import signal
import sys
import threading
import time
from _thread import interrupt_main
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

try:
    import fcntl
except ImportError:  # Windows: the count alone tells
    fcntl = None  # type: ignore[assignment]

PREFIX = ".claim-"
BEAT_SECONDS = 5.0
ABANDONED_SECONDS = 120.0


@dataclass(frozen=True)
class Holder:
    """The content of a claim's file: the machine and process that wrote it, a token of its own, and the count."""

    machine: str
    process: str
    token: str
    count: str


class Claim:
    """A folder that this process has: a context that gives it back at its end.

    Args:
        path: of the claim's file. descriptor: of that file, just created. made_folder: whether its folder was made for
            it, and goes with it while it is empty.
    """

    def __init__(self, path: Path, descriptor: int, made_folder: bool):
        self._path = path
        self._descriptor = descriptor
        self._made_folder = made_folder
        self._token = uuid4().hex
        self._count = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep, name=f"claim of {path.parent}", daemon=True)

    def start(self) -> None:
        """Lock the file, write its first count, and go on counting in a thread."""
        if fcntl is not None:
            with suppress(OSError):  # a file system without locks
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._beat()
        self._thread.start()

    def release(self) -> None:
        """Give the folder back."""
        self._ended.set()
        if self._count:
            self._thread.join()
        is_own = not self._is_lost()
        os.close(self._descriptor)
        with suppress(OSError):
            if is_own:
                self._path.unlink()
            if self._made_folder:
                self._path.parent.rmdir()

    def __enter__(self) -> "Claim":
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def _keep(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            with suppress(OSError):  # the next beat may reach the file again
                self._beat()
            if self._is_lost():
                print(
                    f"{self._path.parent} was taken over by another process, because this one stood still for "
                    f"{ABANDONED_SECONDS:.0f} s or its claim was deleted; it stops here.",
                    file=sys.stderr,
                )
                while not self._ended.wait(1):  # once may be taken as a wish to save first
                    _interrupt()
                return

    def _beat(self) -> None:
        self._count += 1
        text = f"{_machine()} {os.getpid()} {self._token} {self._count}\n"
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        os.write(self._descriptor, text.encode())  # in one piece, and never shorter than before
        os.fsync(self._descriptor)

    def _is_lost(self) -> bool:
        """Tell whether the file is gone or another process's; a file system that fails for a while is no reason."""
        holder = _read(self._path)
        return not _exists(self._path) if holder is None else holder.token != self._token


class Observer:
    """Claims folders for this process, and keeps in mind since when the claims of others have stood still."""

    def __init__(self) -> None:
        self._seen: dict[Path, tuple[Holder | None, float]] = {}

    def claim(self, folder: Path) -> Claim | None:
        """Claim a folder, which is made if need be; None where another process has it or may have it."""
        made = not folder.is_dir()
        folder.mkdir(parents=True, exist_ok=True)
        others = _claims(folder)
        if not all([self._is_abandoned(path) for path in others]):
            return None
        path = folder / f"{PREFIX}{max(map(_number, others), default=0) + 1}"
        try:
            claim = Claim(path, os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666), made)
        except (FileExistsError, FileNotFoundError):  # someone was faster, or has just removed the folder again
            return None
        # What was abandoned may have been taken over and given back meanwhile, and its number be another's now.
        if any(other != path and not self._is_as_seen(other, others) for other in _claims(folder)):
            claim.release()
            return None
        claim.start()
        for other in others:
            other.unlink(missing_ok=True)
        return claim

    def has_counted(self, folder: Path) -> bool:
        """Tell whether a claim of the folder has changed since `claim` saw it: its holder is alive."""
        known = (path for path in _claims(folder) if path in self._seen and self._seen[path][0] is not None)
        return any(_read(path) not in (None, self._seen[path][0]) for path in known)

    def _is_abandoned(self, path: Path) -> bool:
        holder, now = _read(path), time.monotonic()
        if path not in self._seen or self._seen[path][0] != holder:
            self._seen[path] = holder, now
        free = _is_unlocked(path) if holder is not None and holder.machine == _machine() else None
        return now - self._seen[path][1] > ABANDONED_SECONDS if free is None else free

    def _is_as_seen(self, path: Path, others: Sequence[Path]) -> bool:
        return path in others and _read(path) in (None, self._seen[path][0])


def _interrupt() -> None:
    """Interrupt the main thread; where SIGINT is ignored, as in the background of a script, terminate the process."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        os.kill(os.getpid(), signal.SIGTERM)
    else:
        interrupt_main()


def _machine() -> str:
    """Return what tells this machine, as long as it runs, from every other: locks are seen within it."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return platform.node().replace(" ", "-") or "unknown"


def _claims(folder: Path) -> list[Path]:
    return [path for path in folder.glob(f"{PREFIX}*") if path.name.removeprefix(PREFIX).isdecimal()]


def _number(path: Path) -> int:
    return int(path.name.removeprefix(PREFIX))


def _read(path: Path) -> Holder | None:
    """Return what a claim says; None where it is being written or is gone."""
    try:
        words = path.read_text(encoding="utf-8").split()
    except OSError:
        return None
    return Holder(*words) if len(words) == 4 else None


def _is_unlocked(path: Path) -> bool | None:
    """Tell whether nobody has locked a file; None where the file system cannot tell."""
    if fcntl is None:
        return None
    try:
        with path.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return True
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _exists(path: Path) -> bool:
    try:
        path.stat()
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return True
