"""Rehearse: every command of README and guides in order, on IEMOCAP and MELD at full size, without a hand on it.

    python -m experiments.rehearsal --work_dir /tmp/rehearsal --meld_csvs MELD/data/MELD --page docs/rehearsal.md
    python -m experiments.rehearsal --work_dir /tmp/rehearsal --quick

Makes up what cannot be had (`experiments.rehearsal.stage`), then types the commands. The exit code is 1 where one of
them did not end as expected; D/logs has what each has printed. Some 40 minutes and 15 GB. With --quick a twentieth of
the recordings, in processes that have their imports done (`tests.warm_python`): 10 minutes and 2 GB. Linux only.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import date
from pathlib import Path

from experiments.rehearsal.commands import steps
from experiments.rehearsal.page import minutes, page
from experiments.rehearsal.published import publish
from experiments.rehearsal.stage import set_stage
from experiments.rehearsal.steps import files_of, run
from m4ser.environment import hardware, versions
from tests.loopback_hub import LoopbackHub
from tests.warm_python import WarmPython

QUICK_SHARE = 0.05
LIBRARIES = ("torch", "transformers", "datasets", "accelerate")


def main(arguments: Sequence[str] | None = None) -> None:
    """Set the stage, type everything, write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work_dir", type=Path, required=True, help="a folder that is not there yet")
    parser.add_argument("--meld_csvs", type=Path, help="folder of MELD's three CSVs; made up by default")
    parser.add_argument("--page", type=Path, help="the Markdown file to write; rehearsal.md in work_dir by default")
    parser.add_argument("--quick", action="store_true", help="a twentieth of IEMOCAP and MELD")
    options = parser.parse_args(arguments)
    folder, share = options.work_dir.resolve(), QUICK_SHARE if options.quick else 1.0
    if folder.exists():
        sys.exit(f"{folder} is there already; give another --work_dir, or remove it.")
    started = time.monotonic()
    stage = set_stage(folder, options.meld_csvs, share)
    print(f"The stage is set after {minutes(time.monotonic() - started)} minutes.", flush=True)
    logs, outcomes = folder / "logs", []
    logs.mkdir()
    with LoopbackHub() as hub, ExitStack() as stack:
        publish(hub)
        environment = environment_of(hub, folder)
        if options.quick:
            environment["PATH"] = stack.enter_context(WarmPython(environment)).path
        for number, step in enumerate(steps(is_partial=options.quick)):
            outcome = run(step, stage, environment, logs / f"{number:02d}.log")
            outcomes.append(outcome)
            print(f"{minutes(outcome.seconds):>6}  {step.command}  {outcome.problem}", flush=True)
    made_with = {
        "date": f"{date.today():%d %B %Y}",
        "hardware": f"{os.cpu_count()} cores, {hardware()}",
        "libraries": ", ".join(f"{name} {number}" for name, number in versions(LIBRARIES).items()),
        "MELD's CSVs": "the published ones" if options.meld_csvs else "made up, with the published counts",
        "recordings": "all" if share == 1 else f"{share:.0%} of IEMOCAP's and MELD's",
        "minutes with making all of it up": minutes(time.monotonic() - started),
    }
    disk_bytes = sum(size for size, _ in files_of(folder).values())
    path = options.page or folder / "rehearsal.md"
    path.write_text(page(outcomes, made_with, disk_bytes), encoding="utf-8")
    if any(outcome.problem for outcome in outcomes):
        sys.exit(f"Not every step ended as expected; see {path} and {logs}.")
    print(f"Every step ended as expected; see {path}.")


def environment_of(hub: LoopbackHub, folder: Path) -> dict[str, str]:
    """Return the environment that the commands are typed in: an empty home directory, and the Hub of this machine."""
    home = folder / "home"
    home.mkdir()
    return {
        **os.environ,
        **hub.environment(home / "huggingface"),
        "HOME": str(home),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "CUDA_VISIBLE_DEVICES": "",
        "OMP_NUM_THREADS": "1",  # the networks are too narrow for more
    }


if __name__ == "__main__":
    main()
