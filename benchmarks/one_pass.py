"""Measure what transcript and emotion cost from one pass of the network, and with Whisper before it.

    python -m benchmarks.one_pass [--data ../shared/data] [--clips 6] [--rounds 3] [--peers .venv-peers/bin/python]

Seconds a recording, from the file on disk to transcript and emotion, one recording at a time, for recordings of
RAVDESS and clips of read English (asr_speech); noise of IEMOCAP's lengths where neither is there. Compared are M4SER's
own CTC head, Whisper tiny.en or small.en before the network, the first two also with the network as exported graphs of
8-bit weights, and, with an environment of `make bench-peers`, FunASR with SenseVoice-Small, all with random weights.
Each text ends as real speech of that length would: Whisper's by `benchmarks.random_whisper`, the own text has two and
a half words per second. The cost of carrying the head is that of the emotion alone, with the text given, for the same
weights with and without it. All alternate recording by recording; a ratio is the median over recordings and rounds.
Prints JSON.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from functools import partial
from itertools import chain
from pathlib import Path

import soundfile
import torch

from benchmarks.random_whisper import limit_to_speech_length, save_whisper
from benchmarks.synthetic_inputs import make_processor, noise, random_lengths
from benchmarks.throughput import SystemProcess
from benchmarks.timing import SEED, in_turn, median_ratio, report
from experiments.correction import DATA
from m4ser import M4SERConfig, M4SERModel, M4SERPipeline
from m4ser.data.schema import SAMPLING_RATE
from m4ser.model.audio_m4ser import load_audio
from m4ser.onnx_pipeline import OnnxPipeline

DEVICE = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else torch.device("cpu")
CORPORA = {"RAVDESS": "ravdess16k/flac/*.flac", "read English": "asr_speech/*.*a[cv]*"}
ONE_PASS, GIVEN, GIVEN_WITHOUT_HEAD = "one pass", "text given", "text given, no head"
ONE_PASS_INT8, TINY_INT8 = "one pass, int8", "tiny.en, int8"
SENSEVOICE = "SenseVoice-Small"
FASTER = {"tiny.en": 1.9, "small.en": 5.0}
COST_OF_THE_HEAD = 1.02
MORE_ROUNDS = 4  # for the emotion alone, whose difference is smaller than other load on the machine
SENTENCE = "and so my fellow americans "
CHARACTERS_PER_SECOND = 13.5  # of English speech: two and a half words of 4.4 characters and a space


def main(arguments=None):
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Seconds for transcript and emotion, in one pass and by Whisper.")
    parser.add_argument("--data", type=Path, default=DATA, help="folder that contains ravdess16k and asr_speech")
    parser.add_argument("--clips", type=int, default=6, help="recordings of each corpus")
    parser.add_argument("--preset", default="base", help="size of M4SER")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", type=Path, help="Python of the environment with FunASR")
    options = parser.parse_args(arguments)
    figures, goals, seconds_of_audio = {}, {}, {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        corpora = write_recordings(options.data, options.clips, folder)
        systems, alone = make_systems(options.preset, folder)
        peer = SystemProcess(options.peers, SENSEVOICE, folder) if options.peers else None
        if peer is not None:
            systems[SENSEVOICE] = lambda path: peer.classify([(str(path), "", None)], 1)
        try:
            for corpus, paths in corpora.items():
                seconds_of_audio[corpus] = sum(soundfile.info(path).duration for path in paths)
                seconds = measure(systems, paths, options.rounds) | measure(alone, paths, MORE_ROUNDS * options.rounds)
                found, aims = compare(seconds, corpus, seconds_of_audio[corpus])
                figures |= found
                goals |= aims
        finally:
            if peer is not None:
                peer.stop()
    costs = {name: COST_OF_THE_HEAD for name in figures if name.startswith("emotion alone")}
    settings = {"preset": options.preset, "clips": options.clips, "rounds": options.rounds}
    print(json.dumps(report(figures, costs, goals, **settings, seconds_of_audio=seconds_of_audio), indent=1))


def write_recordings(data, count, folder):
    """Return {corpus: paths}, of each corpus as many at equal distances, or of noise where no corpus is there.

    They are written to `folder` at 16 kHz, which all systems take.
    """
    found = {corpus: sorted(data.glob(pattern)) for corpus, pattern in CORPORA.items()}
    found = {corpus: paths[:: max(1, len(paths) // count)][:count] for corpus, paths in found.items() if paths}
    waveforms = {corpus: [load_audio(path, SAMPLING_RATE) for path in paths] for corpus, paths in found.items()}
    waveforms = waveforms or {"noise": [noise(seconds) for seconds in random_lengths("IEMOCAP", count)]}
    written = {}
    for corpus, samples in waveforms.items():
        written[corpus] = [folder / f"{corpus}-{number}.wav" for number in range(len(samples))]
        for path, waveform in zip(written[corpus], samples, strict=True):
            soundfile.write(path, waveform, SAMPLING_RATE)
    return written


def make_systems(preset, folder):
    """Return {name: function of a path}, for transcript and emotion and for the emotion alone.

    The networks have the same weights, the head aside.
    """
    torch.manual_seed(SEED)
    tasks = ["detection", "correction", "recognition"]
    model = M4SERModel(M4SERConfig.preset(preset, auxiliary_tasks=tasks))
    plain = M4SERModel(M4SERConfig.preset(preset))
    plain.load_state_dict({name: value for name, value in model.state_dict().items() if name in plain.state_dict()})
    processor = make_processor([SENTENCE])
    spelling = partial(spell, model.config.recognition_vocabulary, model.speech_encoder.frame_seconds)
    for size in FASTER:
        save_whisper(folder / size, size)
    systems = make_graphs(model, processor, spelling, folder)
    model.recognition_head.register_forward_hook(lambda _head, _inputs, logits: spelling(logits))

    def classifier(network, asr=None):
        return M4SERPipeline(model=network.eval(), processor=processor, device=DEVICE, asr=asr)

    own, without_head = classifier(model), classifier(plain)
    systems[ONE_PASS] = lambda path: own(str(path), return_transcript=True)
    alone = {
        GIVEN: lambda path: own({"path": str(path), "text": SENTENCE}),
        GIVEN_WITHOUT_HEAD: lambda path: without_head({"path": str(path), "text": SENTENCE}),
    }
    for size in FASTER:
        classify = classifier(plain, str(folder / size))
        limit_to_speech_length(classify._transcriber.pipeline.model)
        systems[size] = lambda path, classify=classify: classify(str(path), return_transcript=True)
    return systems, alone


def make_graphs(model, processor, spelling, folder):
    """Return {name: function of a path} of the network as graphs of 8-bit weights, in one pass and behind Whisper."""
    saved, graph = folder / "model", folder / "int8.onnx"
    model.save_pretrained(saved)
    processor.save_pretrained(saved)
    # In a process that ends: the export takes gigabytes that inference does not.
    export = [Path(sys.executable).with_name("m4ser"), "export", saved, "--output", graph, "--int8"]
    subprocess.run(export, check=True, stdout=subprocess.DEVNULL)
    own = OnnxPipeline.from_pretrained(saved, graph)
    frames_graph = own.model.frames_graph

    def spelling_graph(**inputs):
        frames, mask, logits = frames_graph(**inputs)
        return frames, mask, spelling(logits)

    own.model.frames_graph = spelling_graph
    behind = OnnxPipeline.from_pretrained(saved, graph, asr=str(folder / "tiny.en"))
    limit_to_speech_length(behind._transcriber.pipeline.model)
    return {
        ONE_PASS_INT8: lambda path: own(str(path), return_transcript=True),
        TINY_INT8: lambda path: behind(str(path), return_transcript=True),
    }


def spell(vocabulary, frame_seconds, logits):
    """Change the logits of a CTC head so that they spell `SENTENCE`, again and again, at the rate of real speech."""
    frames_per_character = 1 / (frame_seconds * CHARACTERS_PER_SECOND)
    spelled = torch.zeros_like(logits)
    for character in range(int(logits.shape[1] / frames_per_character)):
        index = vocabulary.index(SENTENCE[character % len(SENTENCE)])
        spelled[:, round(character * frames_per_character), index] = 1
    spelled[..., 0] = 0.5  # the blank, between characters
    return spelled


def measure(systems, paths, rounds):
    """Return by system the seconds of each recording, a list over rounds; the systems take turns at each recording."""
    seconds = {name: [] for name in systems}
    for path in paths:
        found = in_turn({name: partial(system, path) for name, system in systems.items()}, rounds, path == paths[0])
        for name, values in found.items():
            seconds[name].append(values)
    return seconds


def compare(seconds, corpus, seconds_of_audio):
    """Return the figures of a corpus and the goals of those that have one, to be at least."""

    def ratio(one, other):
        return median_ratio(chain(*seconds[one]), chain(*seconds[other]))

    figures, goals = {}, {}
    for name, recordings in seconds.items():
        spent = [statistics.median(values) for values in recordings]
        figures[f"seconds a recording, {name}, {corpus}"] = statistics.mean(spent)
        figures[f"real-time factor, {name}, {corpus}"] = sum(spent) / seconds_of_audio
    for size, goal in FASTER.items():
        name = f"Whisper {size} and M4SER / one pass, {corpus}"
        figures[name], goals[name] = ratio(size, ONE_PASS), goal
    name = f"Whisper tiny.en and M4SER / one pass, int8, {corpus}"
    figures[name], goals[name] = ratio(TINY_INT8, ONE_PASS_INT8), FASTER["tiny.en"]
    if SENSEVOICE in seconds:
        figures[f"{SENSEVOICE} / one pass, {corpus}"] = ratio(SENSEVOICE, ONE_PASS)
    figures[f"emotion alone, with / without the head, {corpus}"] = ratio(GIVEN, GIVEN_WITHOUT_HEAD)
    return figures, goals


if __name__ == "__main__":
    main()
