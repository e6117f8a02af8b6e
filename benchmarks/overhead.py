"""Measure what the fusion adds to the two encoders: M4SER's inference time against its own encoders alone.

    python -m benchmarks.overhead [--rounds 5] [--presets base large] [--batches 1 8] [--bf16]

Clips of 5 s with 20 tokens, in batches of one and eight, random weights. M4SER is called as the pipeline calls it,
with masks. Its encoders are called directly on the same inputs without masks, which is their fastest path. Both run
alternately in one process; the figure is the median over rounds of their ratio. The ratio of floating-point
operations, the lower bound, is reported as well. Prints JSON.
"""

import argparse
import json
import statistics

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.timing import SEED, in_turn, median_ratio, report
from m4ser import M4SERConfig, M4SERModel

SECONDS, TOKENS = 5, 20
BATCHES = (1, 8)
GOALS = {"base": 1.20, "large": 1.10}


def main(arguments=None):
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Time and FLOPs of M4SER against its encoders alone.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--presets", nargs="+", default=list(GOALS), help="sizes of the network")
    parser.add_argument("--batches", nargs="+", type=int, default=BATCHES, help="recordings at once")
    parser.add_argument("--bf16", action="store_true", help="in half precision")
    options = parser.parse_args(arguments)
    dtype = torch.bfloat16 if options.bf16 else torch.float32
    figures, goals = {}, {}
    for preset in options.presets:
        figures[f"FLOPs, {preset}"] = flops_ratio(preset)
        for batch, (milliseconds, ratio) in overhead(preset, options.batches, options.rounds, dtype).items():
            figures[f"milliseconds, {preset}, batch {batch}"] = milliseconds
            figures[f"M4SER / encoders, {preset}, batch {batch}"] = ratio
            if preset in GOALS:
                goals[f"M4SER / encoders, {preset}, batch {batch}"] = GOALS[preset]
    settings = {"precision": "bf16" if options.bf16 else "fp32", "rounds": options.rounds}
    print(json.dumps(report(figures, goals, **settings), indent=1))


@torch.inference_mode()
def overhead(preset, batches, rounds, dtype=torch.float32):
    """Return by batch size: M4SER's milliseconds (median), and the ratio of its time to its encoders'."""
    torch.manual_seed(SEED)
    device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else torch.device("cpu")
    model = M4SERModel(M4SERConfig.preset(preset)).eval().to(device, dtype)
    found = {}
    for batch in batches:
        inputs = {name: value.to(device) for name, value in make_inputs(model.config, batch).items()}
        inputs["input_values"] = inputs["input_values"].to(dtype)
        seconds = in_turn(
            {
                "M4SER": lambda inputs=inputs: model(**inputs),
                "encoders": lambda inputs=inputs: run_encoders(model, inputs["input_values"], inputs["input_ids"]),
            },
            rounds,
        )
        milliseconds = 1000 * statistics.median(seconds["M4SER"])
        found[batch] = milliseconds, median_ratio(seconds["M4SER"], seconds["encoders"])
    return found


def make_inputs(config, batch):
    """Return a batch of noise with the keys of the processor's output."""
    samples = (batch, 16_000 * SECONDS)
    return {
        "input_values": torch.randn(samples),
        "attention_mask": torch.ones(samples, dtype=torch.long),
        "input_ids": torch.randint(config.text_config.vocab_size, (batch, TOKENS)),
        "text_attention_mask": torch.ones(batch, TOKENS, dtype=torch.long),
    }


def run_encoders(model, input_values, input_ids):
    """Return the encoders' own hidden states, (B, m, d_S) and (B, n, d_T)."""
    speech = model.speech_encoder.encoder(input_values).last_hidden_state
    return speech, model.text_encoder.encoder(input_ids).last_hidden_state


def flops_ratio(preset):
    """Return the FLOPs of M4SER divided by those of its encoders, counted on the meta device."""
    encoders, rest = flops(preset)
    return (encoders + rest) / encoders


def flops(preset):
    """Return the FLOPs of one inference: those of the encoders, and those of everything after them."""
    with torch.device("meta"):
        model = M4SERModel(M4SERConfig.preset(preset)).eval()
        inputs = torch.empty(1, 16_000 * SECONDS), torch.zeros(1, TOKENS, dtype=torch.long)
        with FlopCounterMode(display=False) as encoders:
            speech, text = run_encoders(model, *inputs)
        with FlopCounterMode(display=False) as rest:
            speech, text = model.speech_encoder.projection(speech), model.text_encoder.projection(text)
            masks = (torch.ones(states.shape[:2], dtype=torch.bool) for states in (speech, text))
            streams = model.fusion(speech, text, *masks)
            model.classifier(streams["invariant"].mean(1))
    return encoders.get_total_flops(), rest.get_total_flops()


if __name__ == "__main__":
    main()
