"""Compare exported graphs with the network: file size, seconds, and how often the predicted label is the same.

    python -m benchmarks.export --model runs/ravdess --dataset data/ravdess --split test

Prints JSON with one entry per backend: PyTorch, ONNX, and ONNX with int8 matrix products.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np

from m4ser import M4SERPipeline
from m4ser.data.loading import load_dataset
from m4ser.evaluation.metrics import unweighted_accuracy
from m4ser.evaluation.scoring import classify_rows
from m4ser.export import export_onnx
from m4ser.onnx_pipeline import OnnxPipeline


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="folder of a run, or Hub id")
    parser.add_argument("--dataset", required=True, help="folder of a builder, or Hub id")
    parser.add_argument("--split", default="test")
    arguments = parser.parse_args()
    rows = load_dataset(arguments.dataset, arguments.split)
    with tempfile.TemporaryDirectory() as folder:
        files = {name: Path(folder) / f"{name}.onnx" for name in ("onnx", "onnx int8")}
        backends = {"torch": M4SERPipeline.from_pretrained(arguments.model)}
        for name, path in files.items():
            export_onnx(arguments.model, path, int8=name.endswith("int8"))
            backends[name] = OnnxPipeline.from_pretrained(arguments.model, path)
        print(json.dumps(compare(backends, rows, files), indent=1))


def compare(backends, rows, files):
    """Return by backend, against the first: share of equal labels, largest score difference, UA, and costs."""
    found, expected = {}, None
    for name, classify in backends.items():
        started = time.perf_counter()
        scores, references = classify_rows(classify, rows, batch_size=1)
        seconds = time.perf_counter() - started
        expected = scores if expected is None else expected
        found[name] = {
            "n": len(rows),
            "label_agreement": float(np.mean(scores.argmax(-1) == expected.argmax(-1))),
            "largest_score_difference": float(np.abs(scores - expected).max()),
            "unweighted_accuracy": unweighted_accuracy(scores.argmax(-1), references),
            "milliseconds_a_recording": 1000 * seconds / len(rows),
            "file_bytes": files[name].stat().st_size if name in files else None,
        }
    return found


if __name__ == "__main__":
    main()
