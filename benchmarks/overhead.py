"""What the fusion adds to the two encoders: M4SER's answer against its own encoders alone.

python -m benchmarks.overhead [--rounds 5] [--bf16]

Clips of 5 s with 20 tokens, one and eight at once, random weights. M4SER is asked as the pipeline asks it, with masks.
Its encoders run as transformers runs them, on the same inputs without masks, which is the fastest they can be had.
Both take their turn in one process; the figure is the median of each round's ratio. Beside it stands the ratio of the
floating-point operations, below which no code gets. Prints JSON.
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
    """Measure, print."""
    parser = argparse.ArgumentParser(description="Time and arithmetic of M4SER against its encoders alone.")
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
    """By batch size: M4SER's milliseconds (median), and how many times its encoders' seconds it takes."""
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
    """A batch as the processor gives it, of noise."""
    samples = (batch, 16_000 * SECONDS)
    return {
        "input_values": torch.randn(samples),
        "attention_mask": torch.ones(samples, dtype=torch.long),
        "input_ids": torch.randint(config.text_config.vocab_size, (batch, TOKENS)),
        "text_attention_mask": torch.ones(batch, TOKENS, dtype=torch.long),
    }


def run_encoders(model, input_values, input_ids):
    """H_S and H_T as transformers gives them, (B, m, d_S) and (B, n, d_T)."""
    speech = model.speech_encoder.encoder(input_values).last_hidden_state
    return speech, model.text_encoder.encoder(input_ids).last_hidden_state


def flops_ratio(preset):
    """Operations of M4SER for each of its encoders', counted without computing anything."""
    encoders, rest = flops(preset)
    return (encoders + rest) / encoders


def flops(preset):
    """Operations of one answer: those of the encoders, and those of all that comes after them."""
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
