"""Python with its libraries imported already: what is typed starts at once, and not after ten seconds of imports.

    subprocess.run([warm("m4ser"), "predict", "a.wav"])
    with WarmPython(environment) as started:
        subprocess.run("m4ser predict a.wav", shell=True, env=environment | {"PATH": started.path})

A server imports them once. `python`, `m4ser`, `accelerate` and `torchrun` of its folder, which stands first on the
path, have it fork, as multiprocessing's forkserver does, and the new process runs the program with the caller's
arguments, files, folder and environment. Signals, death and exit code pass through. What libraries read from the
environment as they are imported has to be as the server has it, and an option such as -I is not for it: then the real
Python runs.
"""

import atexit
import functools
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

PROGRAMS = ("accelerate", "m4ser", "python", "torchrun")
CLIENT, SERVER = (Path(__file__).with_name(f"{name}.py") for name in ("client", "server"))
PATIENCE_SECONDS = 300


def warm(program):
    """Return the path of a program that the server of this process runs, which the first call starts.

    Elsewhere than on Linux it is the real one.
    """
    folder = _shared().folder if hasattr(os, "pidfd_open") else Path(sys.executable).parent
    return str(folder / program)


@functools.cache
def _shared():
    started = WarmPython(dict(os.environ)).__enter__()
    atexit.register(started.__exit__)
    return started


class WarmPython:
    """The server, its environment, and the folder of the programs that use it."""

    def __init__(self, environment):
        self.environment = environment
        self.folder = Path(tempfile.mkdtemp(prefix="warm-", dir="/tmp"))  # a socket's path has 108 characters at most
        self.path = f"{self.folder}:{Path(sys.executable).parent}:{environment['PATH']}"

    def __enter__(self):
        for name in PROGRAMS:
            program = self.folder / name
            program.write_text(f"#!{sys.executable} -IS\n{CLIENT.read_text(encoding='utf-8')}", encoding="utf-8")
            program.chmod(0o755)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(self.folder / "socket"))
            listener.listen()
            # It ends when its input does, which is when this process has ended, however.
            self.server = subprocess.Popen(
                [sys.executable, SERVER, self.folder, str(listener.fileno())],
                env=self.environment,
                pass_fds=[listener.fileno()],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
        return self

    def __exit__(self, *_):
        self.server.stdin.close()
        self.server.wait(PATIENCE_SECONDS)
        shutil.rmtree(self.folder)
