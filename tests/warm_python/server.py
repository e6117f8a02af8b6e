"""The server of `tests.warm_python`: python server.py FOLDER LISTENER, the descriptor of a socket that listens."""

import atexit
import gc
import importlib
import json
import multiprocessing.process
import os
import random
import runpy
import selectors
import signal
import socket
import struct
import sys
import threading
import types
from contextlib import suppress

import numpy as np

MODULES = (
    "accelerate.commands.launch",
    "torch.distributed.run",
    "transformers.pipelines",
    "m4ser_cli",
    "m4ser.inference.predicting",
    "m4ser.training.main",
)
# What libraries read from the environment as they are imported begins so.
IMPORTED_WITH = ("HF_", "OMP_NUM_THREADS", "PYTHON", "TRANSFORMERS_")
READ_LATER = ("PYTHONBREAKPOINT",)  # Ray sets it, for good, in a process that uses it
DECLINED = 256
REAL_PYTHON = sys.executable


class Server:
    """One loop waits for requests, for signals to those who asked and for their death, and for their programs' end."""

    def __init__(self, listener):
        self.listener, self.is_in_use = listener, True
        self.selector = selectors.DefaultSelector()
        self.selector.register(listener, selectors.EVENT_READ, self.start)
        self.selector.register(sys.stdin, selectors.EVENT_READ, self.stop)

    def serve(self):
        """Fork for each request; return it in each new process, and None here when the server is not used any more."""
        while self.is_in_use:
            for key, _ in self.selector.select():
                is_open = key.fd in self.selector.get_map()  # an event before this one may have closed it
                request = key.data() if is_open else None
                if request is not None:
                    return request
        return None

    def stop(self):
        """Whoever has started the server has closed its input, or is dead."""
        self.is_in_use = False

    def start(self):
        """Take a request; return it in the new process that is to run it."""
        connection, _ = self.listener.accept()
        header, files, _, _ = socket.recv_fds(connection, 4, 3)
        request = json.loads(connection.recv(*struct.unpack("!I", header), socket.MSG_WAITALL))
        if differs(request["environment"]) or not is_known(request["arguments"]):
            connection.sendall(struct.pack("!i", DECLINED))
        elif (child := os.fork()) == 0:
            os.setpgid(0, 0)
            for target, file in enumerate(files):
                os.dup2(file, target)
                os.close(file)
            connection.close()
            self.listener.close()
            self.selector.close()
            return request
        else:
            with suppress(OSError):  # it has done so itself, and perhaps ended
                os.setpgid(child, child)
            self.watch(child, connection)
        for file in files:
            os.close(file)
        return None

    def watch(self, child, connection):
        """Pass signals on to a child, and its exit code back; where its caller has died, kill it and its children."""
        process = os.pidfd_open(child)

        def pass_on():
            received = connection.recv(1)
            if received:
                os.kill(child, received[0])
            else:
                self.selector.unregister(connection)
                os.killpg(child, signal.SIGKILL)

        def answer():
            self.selector.unregister(process)
            os.close(process)
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            with suppress(KeyError):
                self.selector.unregister(connection)
            with suppress(OSError), connection:
                connection.sendall(struct.pack("!i", code))

        self.selector.register(connection, selectors.EVENT_READ, pass_on)
        self.selector.register(process, selectors.EVENT_READ, answer)


def differs(environment):
    """Tell whether the libraries would not be the same, had they been imported in this environment."""
    here, there = (
        {name: value for name, value in variables.items() if name.startswith(IMPORTED_WITH) and name not in READ_LATER}
        for variables in (os.environ, environment)
    )
    return here != there


def is_known(arguments):
    """Tell whether `run` can do this; an option of Python such as -I asks for a process of its own."""
    program, *rest = arguments
    if program != "python":
        return True
    first = next((argument for argument in rest if argument != "-u"), "-")
    return not first.startswith("-") or (first in ("-c", "-m") and rest[-1] != first)


def become(request, folder):
    """Make this process what the caller would have started."""
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    os.getppid = lambda: request["parent"]
    sys.executable = os.path.join(folder, "python")
    multiprocessing.process.ORIGINAL_DIR = request["folder"]
    sys.stdin, sys.stdout = os.fdopen(0, closefd=False), os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, errors="backslashreplace", closefd=False)
    random.seed()
    np.random.seed()


def run(program, *arguments):
    """Run what the command line says, as Python does."""
    if program != "python":
        return run_script(os.path.join(os.path.dirname(REAL_PYTHON), program), *arguments)
    if arguments[0] == "-u":
        sys.stdout.reconfigure(write_through=True)
        return run(program, *arguments[1:])
    first, *rest = arguments
    return {"-c": run_code, "-m": run_module}[first](*rest) if first in ("-c", "-m") else run_script(first, *rest)


def run_code(code, *arguments):
    sys.argv, sys.path[0] = ["-c", *arguments], ""
    sys.modules["__main__"] = types.ModuleType("__main__")
    exec(compile(code, "<string>", "exec"), sys.modules["__main__"].__dict__)


def run_module(name, *arguments):
    sys.argv, sys.path[0] = [name, *arguments], os.getcwd()
    runpy.run_module(name, run_name="__main__", alter_sys=True)


def run_script(path, *arguments):
    sys.argv, sys.path[0] = [path, *arguments], os.path.dirname(os.path.abspath(path))
    runpy.run_path(path, run_name="__main__")


def run_to_the_end(arguments):
    """Run, and end with Python's exit code, but without taking all modules apart, which costs most of a second."""
    code = 0
    try:
        run(*arguments)
    except SystemExit as stop:
        code = stop.code or 0
        if not isinstance(code, int):
            print(code, file=sys.stderr)
            code = 1
    except Exception:
        sys.excepthook(*sys.exc_info())
        code = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    os._exit(code & 0xFF)


if __name__ == "__main__":
    folder, listener = sys.argv[1:]
    sys.path[0] = ""  # what stands beside this file is not to be imported
    for name in MODULES:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # a collection in a new process would copy their pages
    request = Server(socket.socket(fileno=int(listener))).serve()
    if request is not None:
        become(request, folder)
        run_to_the_end(request["arguments"])
