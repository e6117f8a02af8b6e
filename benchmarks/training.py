"""What a training step costs, and how much of a batch is padding.

python -m benchmarks.training [--rounds 5]

Step cost: the full objective against the concat baseline of Table IV, and with against without GAN and contrastive
learning (Table V: 2.24 and 1.73 in the paper), at real size (`base`, random weights): clips of 5 s with 20 tokens,
batches of 4. The steps are taken in turn in one process, so that a noisy machine slows all of them; the figure is the
median of each round's ratio. Padding: computed seconds for each second that is there, on lengths like IEMOCAP's and
MELD's. Prints JSON.
"""

import argparse
import json
import statistics
from functools import partial

import numpy as np
import torch
from accelerate import Accelerator

from benchmarks.measuring import SEED, in_turn, median_ratio, report
from m4ser import M4SERConfig, M4SERModel
from m4ser.data.sampler import LengthGroupedBatchSampler
from m4ser.training.arguments import Arguments, DataArguments, ModelArguments, ObjectiveArguments, TrainingArguments
from m4ser.training.loop import train_step
from m4ser.training.state import TrainingState

BATCH, SECONDS, TOKENS = 4, 5, 20
ERRORS, REPLACEMENT = 3, 3  # CHANGE tokens an utterance and tokens each, at a word error rate of 20 %
GOALS = {"full / concat": 1.35, "with / without GAN and LCL": 1.03, "padding IEMOCAP": 1.10, "padding MELD": 1.10}
CORPORA = {"IEMOCAP": (5531, 3.6, 0.62), "MELD": (9989, 2.5, 0.66)}  # recordings, median and spread of the logarithm


def main(arguments=None):
    """Measure, print."""
    parser = argparse.ArgumentParser(description="Step cost and padding.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--preset", default="base", help="size of the network")
    parser.add_argument("--bf16", action="store_true", help="in mixed precision")
    options = parser.parse_args(arguments)
    figures = step_costs(options.preset, options.rounds, options.bf16) | {
        f"padding {name}": padding(*shape) for name, shape in CORPORA.items()
    }
    settings = {"preset": options.preset, "precision": "bf16" if options.bf16 else "fp32", "rounds": options.rounds}
    print(json.dumps(report(figures, GOALS, **settings), indent=1))


def step_costs(preset, rounds, bf16=False):
    """Medians of each step's seconds, and of the two ratios."""
    accelerator = Accelerator(cpu=not torch.accelerator.is_available(), mixed_precision="bf16" if bf16 else "no")
    off = {"gamma": 0.0, "lambda_": 0.0}
    full = prepare(preset, accelerator)
    # The same network without its adversary and the contrastive loss, so that only these differ.
    plain = TrainingState(full[0].network), arguments_of(**off)
    concat = prepare(preset, accelerator, {"representations": [], "auxiliary_tasks": []}, **off)
    steps = {"full": full, "without GAN and LCL": plain, "concat": concat}
    batch = make_batch(full[0].model.config, accelerator.device)
    actions = {
        name: partial(train_step, state, [batch], arguments, accelerator) for name, (state, arguments) in steps.items()
    }
    seconds = in_turn(actions, rounds)
    medians = {f"seconds a step, {name}": statistics.median(values) for name, values in seconds.items()}
    return medians | {
        "full / concat": median_ratio(seconds["full"], seconds["concat"]),
        "with / without GAN and LCL": median_ratio(seconds["full"], seconds["without GAN and LCL"]),
    }


def arguments_of(**objective):
    return Arguments(
        ModelArguments(),
        DataArguments(dataset="random"),
        ObjectiveArguments(**objective),
        TrainingArguments(output_dir="unused"),
    )


def prepare(preset, accelerator, fields=None, **objective):
    torch.manual_seed(SEED)
    arguments = arguments_of(**objective)
    model = M4SERModel(M4SERConfig.preset(preset, **(fields or {}))).train()
    return TrainingState.create(model, arguments, total_steps=100, accelerator=accelerator), arguments


def make_batch(config, device):
    """A batch as the collator gives it, of noise."""
    torch.manual_seed(SEED)
    words = config.text_config.vocab_size
    errors = torch.tensor([(row, 1 + 4 * error) for row in range(BATCH) for error in range(ERRORS)])
    tags = torch.zeros(BATCH, TOKENS, dtype=torch.long)
    tags[errors[:, 0], errors[:, 1]] = 2
    batch = {
        "input_values": torch.randn(BATCH, 16_000 * SECONDS),
        "attention_mask": torch.ones(BATCH, 16_000 * SECONDS, dtype=torch.long),
        "input_ids": torch.randint(words, (BATCH, TOKENS)),
        "text_attention_mask": torch.ones(BATCH, TOKENS, dtype=torch.long),
        "labels": torch.tensor([0, 0, 1, 1]),
        "aed_labels": tags,
        "correction_positions": errors,
        "correction_ids": torch.randint(words, (len(errors), REPLACEMENT)),
    }
    return {name: value.to(device) for name, value in batch.items()} | {"ids": list("abcd")}


def padding(count, median, spread):
    """Seconds computed for each that is there, in batches of 16, recordings of at most 30 s."""
    lengths = np.random.default_rng(SEED).lognormal(np.log(median), spread, count).clip(0.2, 30)
    batches = LengthGroupedBatchSampler(lengths, 16, SEED).batches()
    return float(sum(len(rows) * lengths[rows].max() for rows in batches) / lengths.sum())


if __name__ == "__main__":
    main()
