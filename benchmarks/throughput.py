"""Measure throughput in recordings per second, from files on disk to labels: m4ser's modes and other systems.

    python -m benchmarks.throughput [--clips 200] [--batches 1 8 32] [--peers .venv-peers/bin/python]

Clips of noise with IEMOCAP's lengths, each with a hypothesis of two words per second; all networks have random weights
and the size of HuBERT base. m4ser uses speech and text; transformers' pipeline and the other systems use speech only.
Each system runs in its own process, and they take turns, `CHUNK` clips at a time, so that other load on the machine
slows all of them. A mode "gives the same labels" if it predicts for every clip what fp32 predicts at batch size 1.
SpeechBrain and FunASR need an environment of their own, which `make bench-peers` sets up. Prints JSON.
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

WORKER = Path(__file__).with_name("systems.py")
OURS = ("m4ser fp32", "m4ser bf16", "m4ser compiled", "m4ser ONNX", "m4ser int8")
PEERS = ("SpeechBrain", "FunASR")
CHUNK, WARM_UP = 40, 3
WORDS_A_SECOND = 2
WORDS = ["and", "so", "my", "fellow", "americans", "ask", "not", "what", "your", "country", "can", "do", "for", "you"]
FASTER_THAN_PEERS, FASTER_THAN_FP32 = 1.2, 1.8


def main(arguments=None):
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Throughput in recordings per second.")
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 8, 32], help="recordings at once")
    parser.add_argument("--modes", nargs="+", default=OURS, choices=OURS, help="of m4ser; the first is the reference")
    parser.add_argument("--preset", default="base", help="size of m4ser")
    parser.add_argument("--peers", type=Path, help="Python of the environment with SpeechBrain and FunASR")
    options = parser.parse_args(arguments)
    pythons = dict.fromkeys([*options.modes, "transformers"], sys.executable)
    if options.peers:
        pythons |= dict.fromkeys(PEERS, options.peers)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_model(options.preset, folder / "model")
        clips = write_clips(folder, options.clips)
        systems = {name: SystemProcess(python, name, folder) for name, python in pythons.items()}
        try:
            seconds, labels = run_in_turn(systems, clips, options.batches)
        finally:
            for system in systems.values():
                system.stop()
    lengths = [length for _, _, length in clips]
    same = agreement(labels, options.modes)
    ratios, goals = compare(seconds, same, options.modes)
    settings = {"preset": options.preset, "clips": options.clips, "seconds_of_audio": sum(lengths)}
    print(json.dumps(report(speeds(seconds, lengths) | same | ratios, at_least=goals, **settings), indent=1))


def save_model(preset, folder):
    """Save a model with random weights and its processor, as in the folder of a run."""
    for part in random_model(preset, [" ".join(WORDS)]):
        part.save_pretrained(folder)


def write_clips(folder, count):
    """Write `count` clips of noise; return [(path, text, seconds)]."""
    generator, clips = np.random.default_rng(SEED), []
    for number, length in enumerate(random_lengths("IEMOCAP", count)):
        path = folder / f"{number}.wav"
        soundfile.write(path, noise(length, generator), SAMPLING_RATE)
        words = generator.choice(WORDS, max(1, round(length * WORDS_A_SECOND)))
        clips.append((str(path), " ".join(words), length))
    return clips


class SystemProcess:
    """A process that classifies; see systems.py."""

    def __init__(self, python, name, folder):
        self.name = name
        command = [str(python), str(WORKER), name, str(folder)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def classify(self, clips, batch):
        """Return the seconds, and a label for each clip.

        Raises:
            RuntimeError: The process has died.
        """
        paths, texts = zip(*((path, text) for path, text, _ in clips), strict=True)
        request = {"paths": paths, "texts": texts, "batch_size": batch}
        try:
            print(json.dumps(request), file=self.process.stdin, flush=True)
            result = json.loads(self.process.stdout.readline())
        except (BrokenPipeError, ValueError) as error:
            command = " ".join(map(str, self.process.args))
            raise RuntimeError(f"{self.name} has died; to see its error, run: {command}") from error
        return result["seconds"], result["labels"]

    def stop(self):
        self.process.kill()
        self.process.communicate()


def run_in_turn(systems, clips, batches):
    """Return by (system, batch size): the seconds of each chunk, and the labels of all clips."""
    keys = [(name, batch) for batch in batches for name in systems]
    seconds, labels = {key: [] for key in keys}, {key: [] for key in keys}
    for name, batch in keys:
        systems[name].classify(clips[:WARM_UP], batch)  # loads and compiles
    for start in range(0, len(clips), CHUNK):
        for name, batch in keys:
            spent, found = systems[name].classify(clips[start : start + CHUNK], batch)
            seconds[name, batch].append(spent)
            labels[name, batch] += found
    return seconds, labels


def speeds(seconds, lengths):
    """Return recordings per second, and the real-time factor: processing time / duration of the audio."""
    found = {}
    for (name, batch), chunks in seconds.items():
        found[f"recordings/s, {name}, batch {batch}"] = len(lengths) / sum(chunks)
        found[f"real-time factor, {name}, batch {batch}"] = sum(chunks) / sum(lengths)
    return found


def agreement(labels, modes):
    """Return for each mode of m4ser the share of clips that get the label of the first mode at batch size 1."""
    reference = next(found for (name, _), found in labels.items() if name == modes[0])
    return {
        f"same labels, {name}, batch {batch}": statistics.mean(a == b for a, b in zip(found, reference, strict=True))
        for (name, batch), found in labels.items()
        if name in modes
    }


def compare(seconds, same, modes):
    """Compare the throughput of m4ser's modes with two baselines, all at their best batch size.

    Returns:
        Two dicts by "mode / baseline": the ratios, and the goals, which are set for m4ser's fastest mode that gives
        the same labels. The baselines are the fastest other system and m4ser's own first mode.
    """

    def fastest(keys):
        return min(keys, key=lambda key: sum(seconds[key]))

    ours = {mode: fastest(key for key in seconds if key[0] == mode) for mode in modes}
    baselines = {
        fastest(key for key in seconds if key[0] not in modes): FASTER_THAN_PEERS,
        ours[modes[0]]: FASTER_THAN_FP32,
    }
    chosen, _ = fastest(key for key in ours.values() if same["same labels, {}, batch {}".format(*key)] == 1)
    ratios = {
        f"{mode} / {baseline[0]}": median_ratio(seconds[baseline], seconds[key])
        for mode, key in ours.items()
        for baseline in baselines
    }
    return ratios, {f"{chosen} / {baseline[0]}": goal for baseline, goal in baselines.items()}


if __name__ == "__main__":
    main()
