"""Recordings a second, from the files on the disk to the labels: m4ser in its modes, and what people use today.

    python -m benchmarks.throughput [--clips 200] [--batches 1 8 32] [--peers .venv-peers/bin/python]

Clips of noise with IEMOCAP's lengths, each with a hypothesis of two words a second; networks of random weights, all of
HuBERT base's size. m4ser hears and reads, transformers' pipeline and the peers only hear. Each is a process of its
own, and all are asked in turn, `CHUNK` clips at a time, so that a noisy machine slows all of them. A mode gives the
same labels where it answers every clip as fp32 does one by one. SpeechBrain and FunASR need an environment of their
own, which `make bench-peers` sets up. Prints JSON.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile

from benchmarks.synthetic_inputs import noise, random_lengths, random_model
from benchmarks.timing import SEED, median_ratio, report
from m4ser.data.schema import SAMPLING_RATE

WORKER = Path(__file__).with_name("contestants.py")
OURS = ("m4ser fp32", "m4ser bf16", "m4ser compiled", "m4ser ONNX", "m4ser int8")
PEERS = ("SpeechBrain", "FunASR")
CHUNK, WARM_UP = 40, 3
WORDS_A_SECOND = 2
WORDS = ["and", "so", "my", "fellow", "americans", "ask", "not", "what", "your", "country", "can", "do", "for", "you"]
FASTER_THAN_PEERS, FASTER_THAN_FP32 = 1.2, 1.8


def main(arguments=None):
    """Measure, print."""
    parser = argparse.ArgumentParser(description="Recordings a second.")
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 8, 32], help="recordings at once")
    parser.add_argument("--modes", nargs="+", default=OURS, choices=OURS, help="of m4ser; the first is the measure")
    parser.add_argument("--preset", default="base", help="size of m4ser")
    parser.add_argument("--peers", type=Path, help="the Python of the environment that has SpeechBrain and FunASR")
    options = parser.parse_args(arguments)
    pythons = dict.fromkeys([*options.modes, "transformers"], sys.executable)
    if options.peers:
        pythons |= dict.fromkeys(PEERS, options.peers)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_model(options.preset, folder / "model")
        clips = write_clips(folder, options.clips)
        contestants = {name: Contestant(python, name, folder) for name, python in pythons.items()}
        try:
            seconds, labels = race(contestants, clips, options.batches)
        finally:
            for contestant in contestants.values():
                contestant.stop()
    lengths = [length for _, _, length in clips]
    same = agreement(labels, options.modes)
    ratios, goals = compare(seconds, same, options.modes)
    settings = {"preset": options.preset, "clips": options.clips, "seconds_of_audio": sum(lengths)}
    print(json.dumps(report(speeds(seconds, lengths) | same | ratios, at_least=goals, **settings), indent=1))


def save_model(preset, folder):
    """A model with random weights and its processor, as a training leaves them."""
    for part in random_model(preset, [" ".join(WORDS)]):
        part.save_pretrained(folder)


def write_clips(folder, count):
    """[(path, text, seconds)]."""
    draw, clips = np.random.default_rng(SEED), []
    for number, length in enumerate(random_lengths("IEMOCAP", count)):
        path = folder / f"{number}.wav"
        soundfile.write(path, noise(length, draw), SAMPLING_RATE)
        words = draw.choice(WORDS, max(1, round(length * WORDS_A_SECOND)))
        clips.append((str(path), " ".join(words), length))
    return clips


class Contestant:
    """A process that classifies; see contestants.py."""

    def __init__(self, python, name, folder):
        self.name = name
        command = [str(python), str(WORKER), name, str(folder)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def ask(self, clips, batch):
        """Seconds, and a label for each clip.

        Raises:
            RuntimeError: it has died.
        """
        paths, texts = zip(*((path, text) for path, text, _ in clips), strict=True)
        task = {"paths": paths, "texts": texts, "batch_size": batch}
        try:
            print(json.dumps(task), file=self.process.stdin, flush=True)
            answer = json.loads(self.process.stdout.readline())
        except (BrokenPipeError, ValueError) as error:
            command = " ".join(map(str, self.process.args))
            raise RuntimeError(f"{self.name} has died; see why by typing: {command}") from error
        return answer["seconds"], answer["labels"]

    def stop(self):
        self.process.kill()
        self.process.communicate()


def race(contestants, clips, batches):
    """By (contestant, batch size): the seconds of each chunk, and the labels of all clips."""
    keys = [(name, batch) for batch in batches for name in contestants]
    seconds, labels = {key: [] for key in keys}, {key: [] for key in keys}
    for name, batch in keys:
        contestants[name].ask(clips[:WARM_UP], batch)  # loading, compiling
    for start in range(0, len(clips), CHUNK):
        for name, batch in keys:
            spent, found = contestants[name].ask(clips[start : start + CHUNK], batch)
            seconds[name, batch].append(spent)
            labels[name, batch] += found
    return seconds, labels


def speeds(seconds, lengths):
    """Recordings a second, and the real-time factor: seconds of work for each of audio."""
    found = {}
    for (name, batch), chunks in seconds.items():
        found[f"recordings/s, {name}, batch {batch}"] = len(lengths) / sum(chunks)
        found[f"real-time factor, {name}, batch {batch}"] = sum(chunks) / sum(lengths)
    return found


def agreement(labels, modes):
    """The share of clips that each of our modes answers as the first one does one by one."""
    reference = next(found for (name, _), found in labels.items() if name == modes[0])
    return {
        f"same labels, {name}, batch {batch}": statistics.mean(a == b for a, b in zip(found, reference, strict=True))
        for (name, batch), found in labels.items()
        if name in modes
    }


def compare(seconds, same, modes):
    """How many times the recordings a second of its rivals each of our modes has, all at their best batch size.

    Returns:
        Two dicts by "mode / rival": the ratios, and the goals, which are set for our fastest mode that gives the same
        labels. The rivals are the fastest of the others and our own first mode.
    """

    def fastest(keys):
        return min(keys, key=lambda key: sum(seconds[key]))

    ours = {mode: fastest(key for key in seconds if key[0] == mode) for mode in modes}
    rivals = {
        fastest(key for key in seconds if key[0] not in modes): FASTER_THAN_PEERS,
        ours[modes[0]]: FASTER_THAN_FP32,
    }
    chosen, _ = fastest(key for key in ours.values() if same["same labels, {}, batch {}".format(*key)] == 1)
    ratios = {
        f"{mode} / {rival[0]}": median_ratio(seconds[rival], seconds[key])
        for mode, key in ours.items()
        for rival in rivals
    }
    return ratios, {f"{chosen} / {rival[0]}": goal for rival, goal in rivals.items()}


if __name__ == "__main__":
    main()
