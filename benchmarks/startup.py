"""Measure the start-up time of `import m4ser` and of `m4ser --help`.

    python -m benchmarks.startup [--rounds 7]

The goal is relative to `import torch, transformers`, which loads very little because transformers imports lazily.
m4ser registers itself with AutoModel, AutoProcessor and the pipeline, which loads them, so it is also compared with
the import line that any user of these classes types. Each runs in a new process, alternately; a ratio is the median
over rounds. Prints JSON.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

from benchmarks.timing import in_turn, median_ratio, report

IMPORTS = {
    "import m4ser": "import m4ser",
    "transformers' pipeline": "import torch; from transformers import AutoModel, AutoProcessor, pipeline",
    "import torch, transformers": "import torch, transformers",
}
GOALS = {"import m4ser / import torch, transformers": 1.15, "seconds, m4ser --help": 1.0}


def main(arguments=None):
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Start-up time of m4ser.")
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args(arguments).rounds
    commands = {name: [sys.executable, "-c", line] for name, line in IMPORTS.items()}
    commands["m4ser --help"] = [Path(sys.executable).with_name("m4ser"), "--help"]
    seconds = in_turn({name: runner(command) for name, command in commands.items()}, rounds)
    figures = {f"seconds, {name}": statistics.median(values) for name, values in seconds.items()}
    ours, *others = IMPORTS
    figures |= {f"{ours} / {other}": median_ratio(seconds[ours], seconds[other]) for other in others}
    print(json.dumps(report(figures, GOALS, rounds=rounds), indent=1))


def runner(command):
    return lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
