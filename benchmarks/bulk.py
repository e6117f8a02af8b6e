"""Measure bulk scoring on short noise: its rate beside the bare network's, and memory from shard to shard.

    python -m benchmarks.bulk [--rows 100000]

Scores a list of recordings of 0.3 to 1 s, which names 1,000 files over and over, to a folder of shards of 1,000 rows,
with one process that decodes. Every tenth shard the bare network runs on that shard's own batches, prepared before, so
that other load on the machine slows both; the figure is the median of the ratios of their times. Memory is resident
memory after each shard, that of the last shard minus that of the tenth. Uses the tiny preset with random weights: a
larger network takes longer for the same recordings, and less of the time is left for what is around it. Prints JSON.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
import torch

from benchmarks.synthetic_inputs import random_model
from benchmarks.timing import SEED, report, resident_memory
from m4ser import M4SERPipeline
from m4ser.data.schema import SAMPLING_RATE
from m4ser.inference.bulk import score_shards
from m4ser.inference.recordings import list_recordings
from m4ser.inference.scorer import Scorer, ScoringOptions
from m4ser.inference.shards import ShardFolder

FILES = 1000
SHARD = 1000
WARM = 10  # shards, after which memory is to stay
TEXT = "and so my fellow americans ask not what your country can do for you"


class WatchedFolder(ShardFolder):
    """A folder of shards that notes time and memory as each is written, and runs the bare network now and then."""

    def watch(self, scorer: Scorer) -> None:
        """Begin to measure."""
        self._scorer, self._since = scorer, time.perf_counter()
        self.megabytes, self.ratios, self.rates = [], [], []

    def write(self, shard, table):
        super().write(shard, table)
        seconds = time.perf_counter() - self._since
        self.megabytes.append(resident_memory("VmRSS"))
        self.rates.append(len(table) / seconds)
        if shard % WARM == WARM - 1:
            self.ratios.append(seconds / self._bare(shard))
        self._since = time.perf_counter()

    @torch.inference_mode()
    def _bare(self, shard):
        """Return the seconds of the network alone on the batches of a shard."""
        batches = list(self._scorer.batches(self.read(shard)))
        start = time.perf_counter()
        for inputs in batches:
            self._scorer.model(**inputs)
        return time.perf_counter() - start


def main(arguments=None):
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Bulk scoring.")
    parser.add_argument("--rows", type=int, default=100_000)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        figures, points = measure(Path(folder), options.rows)
    at_most = {"time by that of the bare network": 1.1, "megabytes from the tenth shard to the last": 100}
    print(json.dumps(report(figures, at_most, preset="tiny", rows=options.rows, **points), indent=1))


def measure(folder, rows):
    """Return the figures, and the curves behind them."""
    write_list(folder, rows)
    model, processor = random_model("tiny", [TEXT])
    classify = M4SERPipeline(model=model, processor=processor)
    with Scorer(classify, ScoringOptions(num_workers=1)) as scorer:
        recordings = list_recordings([str(folder / "list.csv")])
        shards = WatchedFolder.plan(folder / "scores", recordings, {}, SHARD)
        shards.watch(scorer)
        summary = score_shards(scorer, shards, is_main=False)
    assert (summary.recordings, summary.errors) == (rows, 0)
    figures = {
        "time by that of the bare network": statistics.median(shards.ratios),
        "megabytes from the tenth shard to the last": shards.megabytes[-1] - shards.megabytes[WARM - 1],
        "recordings a second": statistics.median(shards.rates),
    }
    return figures, {"megabytes": [round(value) for value in shards.megabytes], "ratios": shards.ratios}


def write_list(folder, rows):
    """Write the recordings, and a list of `rows` that names them."""
    rng = np.random.default_rng(SEED)
    for index in range(FILES):
        samples = 0.1 * rng.standard_normal(int(SAMPLING_RATE * rng.uniform(0.3, 1)))
        soundfile.write(folder / f"{index}.wav", samples, SAMPLING_RATE)
    with (folder / "list.csv").open("w") as file:
        file.write("id,path,hypothesis\n")
        file.writelines(f"{row},{row % FILES}.wav,{TEXT}\n" for row in range(rows))


if __name__ == "__main__":
    main()
