"""What a run leaves behind for people: a CSV row a step and an epoch, and its results."""

import csv
import json
import platform
import sys
from importlib.metadata import version

import torch

from m4ser.evaluation.protocols import shared_transcripts

LIBRARIES = ("m4ser", "torch", "transformers", "datasets", "accelerate")


class CsvLog:
    """Rows of named values appended to a file, each on disk before the next step begins.

    Args:
        path: the file. step: where the run goes on; rows of later steps, written before it was cut, are dropped.
    """

    def __init__(self, path, step=0):
        rows = read_rows(path) if step and path.is_file() else []
        self._file = path.open("w", newline="", buffering=1)
        self._writer = None
        for row in rows:
            if int(row["step"]) <= step:
                self.append(row)

    def append(self, row):
        if self._writer is None:
            self._writer = csv.DictWriter(self._file, list(row))
            self._writer.writeheader()
        self._writer.writerow(row)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._file.close()


def read_rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def write_results(path, arguments, progress, seconds, parameters, labels, splits, partition):
    """results.json: scores by split with all it takes to repeat them. Returns what it writes."""
    training = arguments.training
    results = {
        "name": training.name or path.parent.name,
        "labels": labels,
        "protocol": partition.name,
        "protocol_description": partition.description,
        "shared_transcripts": shared_transcripts(partition.splits),
        "seed": training.seed,
        "epochs": progress.epoch,
        "best_epoch": progress.best_epoch,
        "parameters": parameters,
        "seconds": round(seconds, 1),
        "hardware": hardware(),
        "versions": {name: version(name) for name in LIBRARIES},
        "command": " ".join(sys.argv),
        "splits": splits,
        "config": arguments.as_dict(),
    }
    path.write_text(json.dumps(results, indent=1))
    return results


def hardware():
    if torch.cuda.is_available():
        return f"{torch.cuda.device_count()} x {torch.cuda.get_device_name()}"
    return f"{torch.get_num_threads()} threads, {platform.machine()}"
