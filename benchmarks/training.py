"""Measure the time and memory of a training step, of the options that reduce them, and the padding of batches.

    python -m benchmarks.training [--rounds 5] [--preset base] [--bf16]

Step cost: the full objective against the concat baseline of Table IV, and with against without GAN and contrastive
learning (Table V: 2.24 and 1.73 in the paper), at full size (`base`, random weights): clips of 5 s with 20 tokens,
batches of 4. Then the training options that reduce it: gradient checkpointing (activations recomputed), and a frozen
speech encoder that runs in every step or whose hidden states are cached. The steps alternate in one process, so that
other load on the machine slows all of them; a ratio is the median over rounds. Memory is a step's peak above what is
held between steps (weights and optimizer states). Padding: seconds computed per second of audio, on lengths
distributed as IEMOCAP's and MELD's. Prints JSON.
"""

import argparse
import json
import statistics
from functools import partial

import datasets
import numpy as np
import torch
from accelerate import Accelerator

from benchmarks.synthetic_inputs import make_processor, noise, random_lengths
from benchmarks.timing import SEED, in_turn, median_ratio, peak_memory, report
from m4ser import M4SERConfig, M4SERModel
from m4ser.data.builders.builder_cli import encode_flac
from m4ser.data.collator import M4SERCollator
from m4ser.data.labels import add_labels
from m4ser.data.sampler import LengthGroupedBatchSampler
from m4ser.training.arguments import Arguments, DataArguments, ModelArguments, ObjectiveArguments, TrainingArguments
from m4ser.training.features import add_speech_states
from m4ser.training.loaders import to_device
from m4ser.training.loop import set_train_mode, train_step
from m4ser.training.state import TrainingState

BATCH, SECONDS, TOKENS = 4, 5, 20
ERRORS = 3  # wrong words per hypothesis, each instead of two words of the transcript
FREEZE = {"speech_encoder.encoder": 0}
GOALS = {"full / concat": 1.35, "with / without GAN and LCL": 1.03, "padding IEMOCAP": 1.10, "padding MELD": 1.10}
RATIOS = {
    "full / concat": ("full", "concat"),
    "with / without GAN and LCL": ("full", "without GAN and LCL"),
    "activations recomputed / kept": ("activations recomputed", "full"),
    "frozen speech encoder / full": ("frozen speech encoder", "full"),
    "states cached / frozen speech encoder": ("states cached", "frozen speech encoder"),
}
RECORDINGS = {"IEMOCAP": 5531, "MELD": 9989}


def main(arguments=None):
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Step cost and padding.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--preset", default="base", help="size of the network")
    parser.add_argument("--bf16", action="store_true", help="mixed precision")
    options = parser.parse_args(arguments)
    datasets.disable_progress_bars()
    figures = step_costs(options.preset, options.rounds, options.bf16) | {
        f"padding {name}": padding(random_lengths(name, count)) for name, count in RECORDINGS.items()
    }
    settings = {"preset": options.preset, "precision": "bf16" if options.bf16 else "fp32", "rounds": options.rounds}
    print(json.dumps(report(figures, GOALS, **settings), indent=1))


def step_costs(preset, rounds, bf16=False):
    """Return for each step its seconds (median), recordings per second and megabytes, and ratios of seconds."""
    accelerator = Accelerator(cpu=not torch.accelerator.is_available(), mixed_precision="bf16" if bf16 else "no")
    steps = make_steps(preset, accelerator)
    seconds = in_turn(steps, rounds)
    figures = {}
    for name, step in steps.items():
        median = statistics.median(seconds[name])
        with peak_memory() as peak:
            step()
        figures[f"seconds a step, {name}"] = median
        figures[f"recordings a second, {name}"] = BATCH / median
        figures[f"megabytes, {name}"] = peak.megabytes
    return figures | {ratio: median_ratio(seconds[one], seconds[other]) for ratio, (one, other) in RATIOS.items()}


def make_steps(preset, accelerator):
    """Return by name a callable that takes one such step."""
    off = {"adversarial_weight": 0.0, "contrastive_weight": 0.0}
    full, arguments = prepare(preset, accelerator)
    concat = prepare(preset, accelerator, {"representations": [], "auxiliary_tasks": []}, **off)
    frozen, freezing = prepare(preset, accelerator, learning_rates=FREEZE)
    batch, cached = make_batches(accelerator.unwrap_model(frozen.model), accelerator.device)
    set_train_mode(frozen.model, FREEZE, accelerator)
    step = partial(train_step, accelerator=accelerator)
    return {
        "full": partial(step, full, [batch], arguments),
        # The same network without its adversary and the contrastive loss, so that only these differ.
        "without GAN and LCL": partial(step, TrainingState(full.network), [batch], arguments_of(**off)),
        "concat": partial(step, concat[0], [batch], concat[1]),
        "activations recomputed": partial(recompute, full.model, partial(step, full, [batch], arguments)),
        "frozen speech encoder": partial(step, frozen, [batch], freezing),
        "states cached": partial(step, frozen, [cached], freezing),
    }


def prepare(preset, accelerator, fields=None, learning_rates=None, **objective):
    torch.manual_seed(SEED)
    arguments = arguments_of(learning_rates, **objective)
    model = M4SERModel(M4SERConfig.preset(preset, **(fields or {}))).train()
    return TrainingState.create(model, arguments, total_steps=100, accelerator=accelerator), arguments


def arguments_of(learning_rates=None, **objective):
    return Arguments(
        ModelArguments(),
        DataArguments(dataset="random"),
        ObjectiveArguments(**objective),
        TrainingArguments(output_dir="unused", learning_rates=learning_rates),
    )


def recompute(model, step):
    """Take a step with --gradient_checkpointing."""
    kind = "activation" if hasattr(model, "activation_checkpointing_enable") else "gradient"  # older transformers
    getattr(model, f"{kind}_checkpointing_enable")({"use_reentrant": False})
    step()
    getattr(model, f"{kind}_checkpointing_disable")()


def make_batches(model, device):
    """Return the same batch twice: with samples, and with the hidden states of this model's speech encoder."""
    rows = make_rows()
    processor = make_processor([*rows["hypothesis"], *rows["transcript"]], vocab_size=1000)
    samples = datasets.DatasetDict(train=add_labels(rows, processor.tokenizer))
    states = add_speech_states(samples, model, processor, SECONDS, device)
    return [to_device(M4SERCollator(processor)(list(corpus["train"])), device) for corpus in (samples, states)]


def make_rows():
    """Return a dataset of noise recordings with erroneous hypotheses."""
    words = [f"w{index}" for index in range(TOKENS - 2)]  # beside [CLS] and [SEP]
    wrong = range(0, 4 * ERRORS, 4)
    transcript = [f"x{index} y{index}" if index in wrong else word for index, word in enumerate(words)]
    generator = np.random.default_rng(SEED)
    return datasets.Dataset.from_list(
        [
            {
                "id": str(row),
                "audio": {"bytes": encode_flac(noise(SECONDS, generator)), "path": f"{row}.flac"},
                "hypothesis": " ".join(words),
                "transcript": " ".join(transcript),
                "emotion": row // 2,
            }
            for row in range(BATCH)
        ]
    )


def padding(lengths):
    """Return the seconds computed per second of audio, in batches of 16."""
    batches = LengthGroupedBatchSampler(lengths, 16, SEED).batches()
    return float(sum(len(rows) * lengths[rows].max() for rows in batches) / lengths.sum())


if __name__ == "__main__":
    main()
