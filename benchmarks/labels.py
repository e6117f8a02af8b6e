"""How fast real hypotheses are aligned with their transcripts, and whether each edit script gives its transcript back.

python -m benchmarks.labels

All of SST and of MOSI's three recognizers, word by word, on one core. Prints JSON.
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
    """Align everything a few times, print the median rate."""
    parser = argparse.ArgumentParser(description="Rate of the alignment on real ASR errors.")
    parser.add_argument("--data", type=Path, default=DATA, help="the folder of phonemebert_cc0 and mosi_asr")
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
        "given back exactly": exact,
        "utterances a second": round(len(pairs) / statistics.median(seconds)),
        "hardware": f"one of {hardware()}",
    }
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
