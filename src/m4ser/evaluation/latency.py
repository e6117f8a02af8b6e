"""The time that a model takes for one recording (Table V): `m4ser latency`.

Recordings are classified one by one, with their texts. Decoding the file and ASR are not included; the paper does
not say whether they are in its own figures.
"""

import statistics
import time
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch

from m4ser.environment import compute_device, hardware
from m4ser.evaluation.run_data import select_rows
from m4ser.evaluation.scoring import text_of
from m4ser.model.audio_m4ser import load_audio
from m4ser.model.base_m4ser import load_model
from m4ser.model.processing_m4ser import load_processor
from m4ser.model.recognition_m4ser import with_own_texts
from m4ser.run_folder import LATENCY, write_measured

REPEATS = 3
WARM_UP = 3


def measure_latency(
    run: str | Path, dataset: str | Path, split: str = "test", recordings: int = 100
) -> dict[str, Any]:
    """Measure a model on the first recordings of a split of its run and write RUN/latency.json for `m4ser report`.

    Args:
        run: folder of a finished run. dataset: folder or Hub id. recordings: at most so many.

    Returns:
        What latency.json holds: as of `time_recordings`, and `evaluated_on`, as of [`select_rows`].

    Raises:
        DataError: no such dataset or split. ValueError: no such folder.
    """
    if not Path(run).is_dir():
        raise ValueError(f"{run}: there is no such folder; give the folder of a finished run.")
    selected = select_rows(run, dataset, split)
    rows = selected.rows.select(range(min(recordings, len(selected.rows))))
    found = {**time_recordings(run, rows, selected.text_column), "evaluated_on": selected.evaluated_on}
    return write_measured(run, LATENCY, found, run)


@torch.no_grad()
def time_recordings(run: str | Path, rows: datasets.Dataset, text_column: str = "hypothesis") -> dict[str, Any]:
    """Return milliseconds a recording: the mean of `REPEATS` passes over the rows, and the spread of their means."""
    device = compute_device()
    model, processor = load_model(run).to(device), load_processor(run)
    rate = processor.feature_extractor.sampling_rate
    takes_speech = "speech" in model.config.modalities
    pairs = [(load_audio(row["audio"]) if takes_speech else None, text_of(row, text_column)) for row in rows]

    def classify(samples: np.ndarray | None, text: str | None) -> None:
        inputs = processor(samples, text, sampling_rate=rate).to(device)
        if text is None:
            inputs, _ = with_own_texts(model, processor.tokenizer, inputs, [text])
        model(**inputs).logits.argmax().item()  # waits for the GPU

    for samples, text in pairs[:WARM_UP]:
        classify(samples, text)
    passes = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        for samples, text in pairs:
            classify(samples, text)
        passes.append(1000 * (time.perf_counter() - start) / len(pairs))
    return {
        "milliseconds": statistics.mean(passes),
        "spread": statistics.stdev(passes),
        "utterances": len(pairs),
        "seconds_of_audio": sum(len(samples) for samples, _ in pairs if samples is not None) / rate / len(pairs),
        "hardware": hardware(),
    }
