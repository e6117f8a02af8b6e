"""Measure the cost of transcription: seconds per recording with the text given, and with an ASR model before M4SER.

    python -m benchmarks.transcription [--recordings 32] [--asr_model tiny.en] [--batch_size 8] [--rounds 3]

A Whisper of a published size with random weights that generates three tokens per second, as real speech has
(`benchmarks.random_whisper`), transcribes noise with IEMOCAP's lengths for M4SER base: item by item, and in batches of
recordings of similar length. The same is measured for `hub_scripts/transcribe.py`, which computes token probabilities
as well. All alternate in one process; a figure is the median over rounds. Prints JSON.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections import defaultdict
from functools import partial

import numpy as np
import torch

from benchmarks.random_whisper import SIZES, limit_to_speech_length, save_whisper
from benchmarks.synthetic_inputs import noise, random_lengths, random_model
from benchmarks.timing import SEED, in_turn, median_ratio, report
from m4ser import M4SERPipeline
from m4ser.asr.transcription import load_recordings, make_batches
from m4ser.asr.whisper import Whisper
from m4ser.data.schema import SAMPLING_RATE

DEVICE = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else torch.device("cpu")
GOAL = 2.0
ITEM, BATCHED = "item by item", "batched"


def main(arguments=None):
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Seconds per recording with and without transcription.")
    parser.add_argument("--recordings", type=int, default=32)
    parser.add_argument("--asr_model", choices=SIZES, default="tiny.en", help="size of the Whisper")
    parser.add_argument("--batch_size", type=int, default=8, help="recordings at once")
    parser.add_argument("--preset", default="base", help="size of M4SER")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)
    clips = make_clips(options.recordings)
    with tempfile.TemporaryDirectory() as folder:
        save_whisper(folder, options.asr_model)
        found = classified(folder, clips, options.preset, options.batch_size, options.rounds)
        found |= transcribed(folder, clips, options.batch_size, options.rounds)
    figures = {f"seconds a recording, {name}": statistics.median(seconds) for name, seconds in found.items()}
    goals = {}
    for step in ("transcription", "transcribe.py"):
        name = f"{ITEM} / {BATCHED}, {step}"
        figures[name] = median_ratio(found[f"{step} {ITEM}"], found[f"{step} {BATCHED}"])
        goals[name] = GOAL
    settings = vars(options) | {"seconds of audio": sum(map(len, clips)) / SAMPLING_RATE}
    print(json.dumps(report(figures, at_least=goals, **settings), indent=1))


def make_clips(count):
    """Return noise recordings with IEMOCAP's lengths, float32 arrays at 16 kHz."""
    generator = np.random.default_rng(SEED)
    return [noise(seconds, generator) for seconds in random_lengths("IEMOCAP", count)]


def classified(folder, clips, preset, batch_size, rounds):
    """Return seconds per recording of M4SER's pipeline by its input, and of its transcription: one value per round."""
    classify = make_pipeline(preset, folder)
    texts = classify._transcriber.transcribe(clips, batch_size)
    watch = Stopwatch(classify._transcriber)
    without_text = [{"raw": clip, "sampling_rate": SAMPLING_RATE} for clip in clips]
    given = [{**row, "text": text} for row, text in zip(without_text, texts, strict=True)]
    batch_sizes = {ITEM: 1, BATCHED: batch_size}
    seconds = in_turn(
        {
            "text given": partial(classify, given),
            **{
                f"with transcription {mode}": partial(watch.run, mode, classify, without_text, size)
                for mode, size in batch_sizes.items()
            },
        },
        rounds,
    )
    # The first round is the warm-up.
    seconds |= {f"transcription {mode}": watch.seconds[mode][1:] for mode in batch_sizes}
    return {name: [value / len(clips) for value in values] for name, values in seconds.items()}


def make_pipeline(preset, asr):
    """Return M4SER's pipeline with random weights, a tokenizer, and the ASR model in the folder `asr`."""
    model, processor = random_model(preset, ["and so my fellow americans"])
    classify = M4SERPipeline(model=model, processor=processor, device=DEVICE, asr=str(asr))
    limit_to_speech_length(classify._transcriber.pipeline.model)
    return classify


class Stopwatch:
    """Measures the `seconds` that an ASR model takes in each run of a pipeline, by the name of the run."""

    def __init__(self, transcriber):
        self.seconds, self._spent = defaultdict(list), 0.0
        self._transcribe = transcriber.transcribe
        transcriber.transcribe = self._timed

    def run(self, name, classify, inputs, batch_size):
        self._spent = 0.0
        classify(inputs, batch_size=batch_size)
        self.seconds[name].append(self._spent)

    def _timed(self, *inputs):
        start = time.perf_counter()
        texts = self._transcribe(*inputs)
        self._spent += time.perf_counter() - start
        return texts


def transcribed(folder, clips, batch_size, rounds):
    """Return seconds per recording of what `hub_scripts/transcribe.py` computes: one value per round."""
    whisper = Whisper(folder, DEVICE)
    limit_to_speech_length(whisper._model)
    rows = [
        {"id": str(row), "audio": {"array": clip, "sampling_rate": SAMPLING_RATE}} for row, clip in enumerate(clips)
    ]
    pieces = load_recordings(rows, range(len(rows)), whisper.window).pieces

    def transcribe(size):
        for batch in make_batches(pieces, size):
            whisper.transcribe_batch([clips[piece.row][piece.start : piece.stop] for piece in batch])

    batch_sizes = {ITEM: 1, BATCHED: batch_size}
    seconds = in_turn(
        {f"transcribe.py {mode}": partial(transcribe, size) for mode, size in batch_sizes.items()}, rounds
    )
    return {name: [value / len(clips) for value in values] for name, values in seconds.items()}


if __name__ == "__main__":
    main()
