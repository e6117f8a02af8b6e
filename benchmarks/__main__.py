"""Run the benchmarks that take minutes, and print a table of every figure that has a goal.

    python -m benchmarks [overhead startup training transcription one_pass throughput growth bulk serving] [--table]

Each benchmark runs in its own process and writes its report to benchmarks/results. --table runs nothing and prints the
reports that exist. Throughput and one_pass include SpeechBrain and FunASR if `make bench-peers` has set up their
environment.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PEERS = ROOT / ".venv-peers" / "bin" / "python"
WITH_PEERS = ("throughput", "one_pass")
QUICK = {
    "overhead": ["--rounds", "5"],
    "startup": ["--rounds", "7"],
    "training": ["--rounds", "3"],
    "transcription": ["--recordings", "16", "--batch_size", "8", "--rounds", "2"],
    "one_pass": ["--clips", "3", "--rounds", "2"],
    "throughput": ["--clips", "24", "--batches", "1", "--modes", "m4ser fp32", "m4ser bf16", "m4ser int8"],
    "growth": ["--rounds", "2", "--figure", "docs/figures/growth.png"],
    "bulk": ["--rows", "100000"],
    "serving": ["--seconds", "120"],
}


def main(arguments=None):
    """Run the benchmarks and print the table."""
    parser = argparse.ArgumentParser(description="Quick benchmarks and their goals.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(QUICK)}; all if none is named")
    parser.add_argument("--table", action="store_true", help="print the existing reports; run nothing")
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - set(QUICK):
        parser.error(f"unknown benchmark {', '.join(sorted(unknown))}; choose from {', '.join(QUICK)}")
    names = options.names or list(QUICK)
    if not options.table:
        for name in names:
            print(f"{name} ...", file=sys.stderr)
            (RESULTS / f"{name}.json").write_text(run(name), encoding="utf-8")
    reports = {name: json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8")) for name in names}
    print(table(reports))


def run(name):
    peers = ["--peers", str(PEERS)] if name in WITH_PEERS and PEERS.exists() else []
    command = [sys.executable, "-m", f"benchmarks.{name}", *QUICK[name], *peers]
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def table(reports):
    """Return a Markdown table with one line per figure that has a goal, and whether it was met."""
    lines = ["| benchmark | figure | | goal | |", "|---|---|---:|---:|---|"]
    for name, report in reports.items():
        for bound in ("at_most", "at_least"):
            for figure, goal in report[bound].items():
                verdict = "pass" if report["met"][figure] else "miss"
                value, condition = report["figures"][figure], f"{bound.replace('_', ' ')} {goal:.2f}"
                lines.append(f"| {name} | {figure} | {value:.3f} | {condition} | {verdict} |")
    machines = sorted({report["hardware"] for report in reports.values()})
    return "\n".join([*lines, "", f"Measured on {'; '.join(machines)}."])


if __name__ == "__main__":
    main()
