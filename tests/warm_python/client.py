"""Have the server run this program, and end as it ends; `tests.warm_python` writes a copy of this for each program."""

import json
import os
import signal
import socket
import struct
import sys

FOLDER, PROGRAM = os.path.split(os.path.abspath(sys.argv[0]))
REAL = os.path.join(os.path.dirname(sys.executable), PROGRAM)
SIGNALS = (signal.SIGINT, signal.SIGTERM)
DECLINED = 256  # beyond all exit codes


def main():
    """Ask; run the real program where the server declines."""
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(os.path.join(FOLDER, "socket"))
        request = {
            "arguments": [PROGRAM, *sys.argv[1:]],
            "folder": os.getcwd(),
            "environment": dict(os.environ),
            "parent": os.getppid(),
        }
        message = json.dumps(request).encode()
        socket.send_fds(server, [struct.pack("!I", len(message))], [0, 1, 2])
        server.sendall(message)
        for number in SIGNALS:
            signal.signal(number, lambda number, _: server.sendall(bytes([number])))
        (code,) = struct.unpack("!i", server.recv(4, socket.MSG_WAITALL))
        for number in SIGNALS:
            signal.signal(number, signal.SIG_DFL)
    if code == DECLINED:
        os.execv(REAL, [REAL, *sys.argv[1:]])
    if code < 0:
        os.kill(os.getpid(), -code)
    sys.exit(code)


main()
