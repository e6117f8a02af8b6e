"""Measure what Whisper's encoder costs as the speech encoder, by the length of a recording, beside HuBERT base.

    python -m benchmarks.whisper_encoder [--rounds 5]

One recording of 3 s and one of 30 s, random weights in the shapes of openai/whisper-base and
facebook/hubert-base-ls960, from waveforms to frames. Whisper encodes a window of 30 s of both. All run alternately in
one process; figures are medians over rounds. Prints JSON.
"""

import argparse
import json
import statistics

import torch

from benchmarks.random_whisper import SIZES
from benchmarks.timing import SEED, in_turn, median_ratio, report
from m4ser import M4SERConfig
from m4ser.model.whisper_encoder_m4ser import make_speech_encoder

LENGTHS = (3, 30)  # seconds


def main(arguments=None):
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Time of Whisper's encoder against HuBERT's.")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(arguments)
    torch.manual_seed(SEED)
    encoders = {name: make_speech_encoder(config).eval() for name, config in configs().items()}
    print(json.dumps(report(measure(encoders, options.rounds), rounds=options.rounds), indent=1))


def configs():
    """Return the configs of a network on each encoder."""
    width, layers, heads = SIZES["base.en"]
    sizes = {"d_model": width, "encoder_layers": layers, "encoder_attention_heads": heads}
    whisper = {"model_type": "whisper", **sizes, "encoder_ffn_dim": 4 * width}
    return {"Whisper": M4SERConfig(speech_config=whisper), "HuBERT": M4SERConfig.preset("base")}


@torch.inference_mode()
def measure(encoders, rounds):
    """Return the milliseconds of each encoder and length, and their ratios."""
    waveforms = {seconds: torch.randn(1, 16_000 * seconds) for seconds in LENGTHS}
    actions = {
        f"{name}, {length} s": lambda encoder=encoder, waveform=waveform: encoder(waveform)
        for name, encoder in encoders.items()
        for length, waveform in waveforms.items()
    }
    seconds = in_turn(actions, rounds)
    figures = {f"milliseconds, {name}": 1000 * statistics.median(values) for name, values in seconds.items()}
    short, long = LENGTHS
    for name in encoders:
        pair = seconds[f"{name}, {long} s"], seconds[f"{name}, {short} s"]
        figures[f"{long} s / {short} s, {name}"] = median_ratio(*pair)
    for length in LENGTHS:
        pair = seconds[f"Whisper, {length} s"], seconds[f"HuBERT, {length} s"]
        figures[f"Whisper / HuBERT, {length} s"] = median_ratio(*pair)
    return figures


if __name__ == "__main__":
    main()
