"""What hearing costs: seconds a recording with its text given and with a recognizer before the network.

python -m benchmarks.transcription [--recordings 32] [--recognizer tiny.en] [--batch_size 8] [--rounds 3]

A Whisper of a real size with random weights, which writes three tokens a second as people do (`benchmarks.random_whisper`),
hears noise of IEMOCAP's lengths for M4SER base: item by item, and in batches of recordings of like length. So it does
for `hub_scripts/transcribe.py`, which asks Whisper for more than the text. All take turns in one process; a figure
is the median of each round's. Prints JSON.
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

from benchmarks.random_whisper import SIZES, end_as_speech_does, save_whisper
from benchmarks.synthetic_inputs import noise, random_lengths, random_model
from benchmarks.timing import SEED, in_turn, median_ratio, report
from m4ser import M4SERPipeline
from m4ser.asr.transcription import load_pieces, make_batches
from m4ser.asr.whisper import Whisper
from m4ser.data.schema import SAMPLING_RATE

DEVICE = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else torch.device("cpu")
GOAL = 2.0
ITEM, BATCHED = "item by item", "batched"


def main(arguments=None):
    """Measure, print."""
    parser = argparse.ArgumentParser(description="Seconds a recording with and without transcription.")
    parser.add_argument("--recordings", type=int, default=32)
    parser.add_argument("--recognizer", choices=SIZES, default="tiny.en", help="size of the Whisper")
    parser.add_argument("--batch_size", type=int, default=8, help="recordings at once")
    parser.add_argument("--preset", default="base", help="size of M4SER")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)
    clips = make_clips(options.recordings)
    with tempfile.TemporaryDirectory() as folder:
        save_whisper(folder, options.recognizer)
        found = classified(folder, clips, options.preset, options.batch_size, options.rounds)
        found |= transcribed(folder, clips, options.batch_size, options.rounds)
    figures = {f"seconds a recording, {name}": statistics.median(seconds) for name, seconds in found.items()}
    goals = {}
    for what in ("transcription", "transcribe.py"):
        name = f"{ITEM} / {BATCHED}, {what}"
        figures[name] = median_ratio(found[f"{what} {ITEM}"], found[f"{what} {BATCHED}"])
        goals[name] = GOAL
    settings = vars(options) | {"seconds of audio": sum(map(len, clips)) / SAMPLING_RATE}
    print(json.dumps(report(figures, at_least=goals, **settings), indent=1))


def make_clips(count):
    """Noise of IEMOCAP's lengths, float32 arrays at 16 kHz."""
    draw = np.random.default_rng(SEED)
    return [noise(seconds, draw) for seconds in random_lengths("IEMOCAP", count)]


def classified(folder, clips, preset, batch_size, rounds):
    """Seconds a recording of M4SER's pipeline by what it is given, and of the transcription in it: a value a round."""
    classify = make_pipeline(preset, folder)
    texts = classify._transcriber.transcribe(clips, batch_size)
    watch = Stopwatch(classify._transcriber)
    unheard = [{"raw": clip, "sampling_rate": SAMPLING_RATE} for clip in clips]
    given = [{**row, "text": text} for row, text in zip(unheard, texts, strict=True)]
    ways = {ITEM: 1, BATCHED: batch_size}
    seconds = in_turn(
        {
            "text given": partial(classify, given),
            **{
                f"with transcription {way}": partial(watch.run, way, classify, unheard, size)
                for way, size in ways.items()
            },
        },
        rounds,
    )
    # The first round warms up.
    seconds |= {f"transcription {way}": watch.seconds[way][1:] for way in ways}
    return {name: [value / len(clips) for value in values] for name, values in seconds.items()}


def make_pipeline(preset, recognizer):
    """M4SER with random weights, a tokenizer, and the recognizer in a folder before it."""
    model, processor = random_model(preset, ["and so my fellow americans"])
    classify = M4SERPipeline(model=model, processor=processor, device=DEVICE, asr=str(recognizer))
    end_as_speech_does(classify._transcriber.pipeline.model)
    return classify


class Stopwatch:
    """The `seconds` of a recognizer's part in each run of a pipeline, by the name of the run."""

    def __init__(self, recognizer):
        self.seconds, self._spent = defaultdict(list), 0.0
        self._transcribe = recognizer.transcribe
        recognizer.transcribe = self._timed

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
    """Seconds a recording of what `hub_scripts/transcribe.py` asks of Whisper: a value a round."""
    whisper = Whisper(folder, DEVICE)
    end_as_speech_does(whisper._model)
    rows = [
        {"id": str(row), "audio": {"array": clip, "sampling_rate": SAMPLING_RATE}} for row, clip in enumerate(clips)
    ]
    pieces, _ = load_pieces(rows, whisper.window, quiet=True)

    def transcribe_all(size):
        for batch in make_batches(pieces, size):
            whisper.transcribe_batch([clips[piece.row][piece.start : piece.stop] for piece in batch])

    ways = {ITEM: 1, BATCHED: batch_size}
    seconds = in_turn({f"transcribe.py {way}": partial(transcribe_all, size) for way, size in ways.items()}, rounds)
    return {name: [value / len(clips) for value in values] for name, values in seconds.items()}


if __name__ == "__main__":
    main()
