"""Print a sentence on stderr when a process has ended: `python print_last.py PID MARKER SENTENCE` (Linux).

A script of its own, so that it waits without PyTorch. MARKER is a file that it removes in the end.
"""

import os
import select
import sys
from contextlib import suppress

PATIENCE = 60.0  # seconds


def main(pid: int, marker: str, sentence: str) -> None:
    """Wait for the process, for a zombie no longer; then print."""
    with suppress(ProcessLookupError):  # it has ended already
        select.select([os.pidfd_open(pid)], [], [], PATIENCE)
    print(sentence, file=sys.stderr, flush=True)
    os.unlink(marker)


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
