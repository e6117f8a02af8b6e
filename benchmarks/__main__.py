"""The benchmarks that take minutes, one after the other, and a table of every figure that has a goal.

python -m benchmarks [overhead startup training ...] [--table]

Each runs in a process of its own and leaves its report in benchmarks/results; --table runs nothing and shows the
reports that are there. Throughput is measured against SpeechBrain and FunASR, too, where `make bench-peers` has set up
their environment.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PEERS = ROOT / ".venv-peers" / "bin" / "python"
QUICK = {
    "overhead": ["--rounds", "5"],
    "startup": ["--rounds", "7"],
    "training": ["--rounds", "3"],
    "transcription": ["--recordings", "16", "--batch_size", "8", "--rounds", "2"],
    "throughput": ["--clips", "24", "--batches", "1", "--modes", "m4ser fp32", "m4ser bf16", "m4ser int8"],
    "growth": ["--rounds", "2", "--figure", "docs/figures/growth.png"],
}


def main(arguments=None):
    """Run, print the table."""
    parser = argparse.ArgumentParser(description="Quick benchmarks and their goals.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(QUICK)}; all if none is named")
    parser.add_argument("--table", action="store_true", help="of the reports that are there; run nothing")
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - set(QUICK):
        parser.error(f"there is no {', '.join(sorted(unknown))} among {', '.join(QUICK)}")
    names = options.names or list(QUICK)
    if not options.table:
        for name in names:
            print(f"{name} ...", file=sys.stderr)
            (RESULTS / f"{name}.json").write_text(run(name), encoding="utf-8")
    reports = {name: json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8")) for name in names}
    print(table(reports))


def run(name):
    peers = ["--peers", str(PEERS)] if name == "throughput" and PEERS.exists() else []
    command = [sys.executable, "-m", f"benchmarks.{name}", *QUICK[name], *peers]
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def table(reports):
    """Markdown: a line for each figure with a goal, and whether it was met."""
    lines = ["| benchmark | figure | | goal | |", "|---|---|---:|---:|---|"]
    for name, report in reports.items():
        for bound in ("at_most", "at_least"):
            for figure, goal in report[bound].items():
                verdict = "pass" if report["met"][figure] else "miss"
                value, words = report["figures"][figure], f"{bound.replace('_', ' ')} {goal:.2f}"
                lines.append(f"| {name} | {figure} | {value:.3f} | {words} | {verdict} |")
    machines = sorted({report["hardware"] for report in reports.values()})
    return "\n".join([*lines, "", f"Measured on {'; '.join(machines)}."])


if __name__ == "__main__":
    main()
