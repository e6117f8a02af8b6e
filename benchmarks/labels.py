"""Measure the speed of aligning real hypotheses with their transcripts, and check that each edit script is exact.

    python -m benchmarks.labels [--data ../shared/data]

Aligns all of SST and the outputs of MOSI's three ASR models by words, on one core. Prints JSON.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

from experiments.correction import DATA
from experiments.correction_data import MEASURED, read_corpora
from m4ser.data.alignment import align
from m4ser.environment import hardware

ROUNDS = 5


def main(arguments=None):
    """Align everything several times and print the median rate."""
    parser = argparse.ArgumentParser(description="Speed of the alignment on real ASR errors.")
    parser.add_argument("--data", type=Path, default=DATA, help="folder that contains phonemebert_cc0 and mosi_asr")
    corpora = read_corpora(parser.parse_args(arguments).data)
    rows = [row for name in MEASURED for split in corpora[name].values() for row in split]
    pairs = [(row["hypothesis"].split(), row["transcript"].split()) for row in rows]
    seconds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        scripts = [align(hypothesis, transcript) for hypothesis, transcript in pairs]
        seconds.append(time.perf_counter() - start)
    exact = sum(script.apply(pair[0]) == pair[1] for script, pair in zip(scripts, pairs, strict=True))
    report = {
        "utterances": len(pairs),
        "reconstructed exactly": exact,
        "utterances per second": round(len(pairs) / statistics.median(seconds)),
        "hardware": f"one of {hardware()}",
    }
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
