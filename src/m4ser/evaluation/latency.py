"""How long a model takes for one recording (Table V): one by one, as a user asks, the text being there already.

python -m m4ser.evaluation.latency runs/ravdess --dataset data/ravdess

Writes RUN/latency.json, which `m4ser report` sets beside the paper's figures. Decoding the file and the recognizer
are not in it; the paper does not say whether they are in its own.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import datasets
import torch
from transformers import AutoModel

from m4ser.environment import hardware
from m4ser.model.audio_m4ser import load_audio
from m4ser.model.processing_m4ser import M4SERProcessor
from m4ser.run_folder import LATENCY, write_json

RATE = 16_000
REPEATS = 3
WARM_UP = 3


def main(arguments=None):
    """Measure one run and print what was written."""
    parser = argparse.ArgumentParser(description="Inference time an utterance.")
    parser.add_argument("run", type=Path, help="folder of a run")
    parser.add_argument("--dataset", type=Path, required=True, help="the folder of a built dataset")
    parser.add_argument("--split", default="test")
    parser.add_argument("--recordings", type=int, default=100, help="the first so many of the split")
    options = parser.parse_args(arguments)
    rows = datasets.load_dataset(str(options.dataset), split=options.split)
    rows = rows.select(range(min(options.recordings, len(rows))))
    found = measure(options.run, rows)
    write_json(options.run, LATENCY, found)
    print(json.dumps(found, indent=1))


@torch.no_grad()
def measure(run, rows):
    """Milliseconds an utterance: the mean of `REPEATS` passes over the rows, and the spread of the passes' means."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = AutoModel.from_pretrained(run).eval().to(device)
    processor = M4SERProcessor.from_pretrained(run)
    pairs = [(load_audio(audio), text or "") for audio, text in zip(rows["audio"], rows["hypothesis"], strict=True)]

    def answer(samples, text):
        model(**processor(samples, text, sampling_rate=RATE).to(device)).logits.argmax().item()  # waits for the GPU

    for samples, text in pairs[:WARM_UP]:
        answer(samples, text)
    passes = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        for samples, text in pairs:
            answer(samples, text)
        passes.append(1000 * (time.perf_counter() - start) / len(pairs))
    return {
        "milliseconds": statistics.mean(passes),
        "spread": statistics.stdev(passes),
        "utterances": len(pairs),
        "seconds_of_audio": sum(len(samples) for samples, _ in pairs) / RATE / len(pairs),
        "hardware": hardware(),
    }


if __name__ == "__main__":
    main()
