"""How long the builders of IEMOCAP and MELD take at full size, in how much memory, and whether they see a change.

python -m experiments.builders --meld_csvs MELD/data/MELD --work_dir /tmp/releases

Releases of the published size are made up first (`experiments.fake_releases`): for IEMOCAP 10,039 recordings, of
which the paper's classes take 5,531; for MELD a clip for each of the 13,708 rows of its real CSVs. Each is built
twice, the second time after one recording was replaced; the result is JSON. Linux only, for it reads /proc.
"""

import argparse
import hashlib
import json
import random
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import soundfile

from experiments.fake_releases import CLIP_RATE, replace, tone, write_iemocap, write_meld, write_video
from m4ser.environment import hardware

BUILDERS = Path(__file__).parents[1] / "datasets_builders"
MEGABYTE = 2**20
SAMPLES_A_SECOND = 5
SUFFIXES = {"iemocap": ".wav", "meld": ".mp4"}
FOLDERS = {"iemocap": "Session1/sentences/wav/*", "meld": "train/train_splits"}
WRITERS = {"iemocap": soundfile.write, "meld": write_video}


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the releases where they are not there yet, build each twice, print the report as JSON."""
    parser = argparse.ArgumentParser(description="The dataset builders at full size.")
    parser.add_argument("--meld_csvs", type=Path, required=True, help="folder of MELD's three CSVs")
    parser.add_argument("--work_dir", type=Path, required=True, help="a folder with 6 GB of space")
    options = parser.parse_args(arguments)
    rng = random.Random(0)
    lengths = sorted({round(min(34, max(0.6, rng.lognormvariate(1.25, 0.7))), 2) for _ in range(200)})  # mean 4.5 s
    csvs = {corpus: options.meld_csvs / f"{corpus}_sent_emo.csv" for corpus in ("train", "dev", "test")}
    releases = {
        "iemocap": write_iemocap(options.work_dir / "iemocap", lengths),
        "meld": write_meld(options.work_dir / "meld", csvs),
    }
    report = {name: measure(name, release, options.work_dir) for name, release in releases.items()}
    print(json.dumps(report | {"hardware": hardware()}, indent=2))


def measure(name: str, release: Path, work_dir: Path) -> dict[str, Any]:
    """Build `release`, give the source of its first row another recording, and build it again."""
    output_dir = work_dir / f"{name}-built"
    first = build(name, release, output_dir)
    before = recordings(output_dir)
    other = work_dir / f"other{SUFFIXES[name]}"
    WRITERS[name](other, tone(2.0, CLIP_RATE), CLIP_RATE)
    source = next(iter(before)).removeprefix("train_")
    replace(min(release.glob(f"{FOLDERS[name]}/{source}{SUFFIXES[name]}")), other.read_bytes())
    second = build(name, release, output_dir)
    after = recordings(output_dir)
    differing = [row for row in before if before[row] != after[row]]
    return {"rows": len(before), "first": first, "second": second, "rows_changed_by_one_file": differing}


def build(name: str, release: Path, output_dir: Path) -> dict[str, Any]:
    """Run a builder in a process of its own: minutes, those of a core's time apart, and megabytes over its time."""
    started, memory, used_before = time.monotonic(), [], core_seconds_of_children()
    command = [sys.executable, BUILDERS / f"{name}.py", "--data_dir", release, "--output_dir", output_dir]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    while process.poll() is None:
        memory.append(resident_megabytes(process.pid))
        time.sleep(1 / SAMPLES_A_SECOND)
    if process.returncode:
        raise SystemExit(f"{name} ended with {process.returncode}")
    quarter = len(memory) // 4
    return {
        "minutes": round((time.monotonic() - started) / 60, 2),
        "core_minutes": round((core_seconds_of_children() - used_before) / 60, 2),
        "peak_mb": max(memory),
        "second_quarter_mb": max(memory[quarter : 2 * quarter]),
        "last_quarter_mb": max(memory[-quarter:]),
        "printed": process.stdout.read().splitlines(),
    }


def core_seconds_of_children() -> float:
    """Return the processor time of the ended child processes: their cost on a machine with other work, too."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def resident_megabytes(pid: int) -> int:
    """Return the memory of a process; 0 where it has just ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except FileNotFoundError:
        return 0
    return next((int(line.split()[1]) * 1024 // MEGABYTE for line in lines if line.startswith("VmRSS")), 0)


def recordings(folder: Path) -> dict[str, str]:
    """Return the hash of each row's recording, as `load_dataset` reads it, in a cache that outlives the rebuild."""
    splits = datasets.load_dataset(str(folder), cache_dir=str(folder.parent / "cache"))
    rows = (row for split in splits.values() for row in split.select_columns(["id", "audio"]))
    return {row["id"]: hashlib.sha256(row["audio"]["bytes"]).hexdigest() for row in rows}


if __name__ == "__main__":
    main()
