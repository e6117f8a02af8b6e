"""Twenty steps in float64 on the same seven or eight recordings a step, in however many processes and batches.

    torchrun --nproc_per_node 2 -m tests.training.processes OUT.safetensors --accumulation 1

Run by test_loss_scaling.py. Leaves the first step's gradients and the last step's weights of both sides.
"""

import argparse
from pathlib import Path

import torch
from accelerate import Accelerator
from safetensors.torch import save_file
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from transformers import get_scheduler

from m4ser.model.configuration_m4ser import AUXILIARY_TASKS
from m4ser.model.recognition_m4ser import character_labels
from m4ser.processes import disconnect
from m4ser.training.arguments import Arguments, DataArguments, ModelArguments, ObjectiveArguments, TrainingArguments
from m4ser.training.discriminator import ModalityDiscriminator
from m4ser.training.loop import train_step
from m4ser.training.state import TrainableModule, TrainingState
from tests.tiny import WIDTH, collate, randomize, recordings, tiny_config, tiny_model
from tests.training.scaler import scaled_accelerator

STEPS = 20


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("output")
    parser.add_argument("--accumulation", type=int, default=1)
    parser.add_argument("--contrastive_weight", type=float, default=0.1)
    parser.add_argument("--loss_reduction", default="mean")
    parser.add_argument("--scaled", action="store_true", help="with the scaler of fp16's gradients")
    parser.add_argument("--checkpoints", type=Path, help="folder through which the second half goes on")
    parser.add_argument("--sharded", action="store_true", help="each process holds a part of the weights (FSDP)")
    options = parser.parse_args()
    torch.set_default_dtype(torch.float64)
    arguments = Arguments(
        ModelArguments(),
        DataArguments(dataset="unused"),
        ObjectiveArguments(
            adversarial_weight=0.5,
            contrastive_weight=options.contrastive_weight,
            loss_reduction=options.loss_reduction,
        ),
        TrainingArguments(output_dir="unused", learning_rate=1e-3),
    )
    accelerator = scaled_accelerator(2.0**10, autocast=False) if options.scaled else Accelerator(cpu=True)
    create = shard if options.sharded else TrainingState.create
    state = create(tiny_model(auxiliary_tasks=AUXILIARY_TASKS), arguments, STEPS, accelerator)
    gradients, losses = {}, []
    for step in range(STEPS):
        if step == 0:
            watch_gradients(state, gradients, accelerator)
        if step == STEPS // 2 and options.checkpoints:
            state.save(options.checkpoints, {}, accelerator, keep=1)
            other = randomize(tiny_model(auxiliary_tasks=AUXILIARY_TASKS), seed=7)
            state = create(other, arguments, STEPS, accelerator)
            state.load(options.checkpoints, {}, accelerator)
        window = shares(step, accelerator, options.accumulation)
        losses.append(train_step(state, window, arguments, accelerator))
    weights = {
        f"{name}/{key}": whole(value)
        for name, part in state.trainable.items()
        for key, value in accelerator.unwrap_model(part.module).state_dict().items()
    }
    if accelerator.is_main_process:
        named = {f"losses/{name}": torch.tensor([loss[name] for loss in losses]) for name in losses[0]}
        save_file({**weights, **gradients, **named}, options.output)


def shares(step, accelerator, accumulation):
    """This process's batches of a step: every so-manieth of its seven or eight recordings."""
    count = 7 + step % 2
    lengths = [1500, 800, 500, 400, 900, 1200, 450, 700][:count]
    rows = recordings(lengths, [4, 9, 2, 5, 6, 3, 7, 4][:count], seed=step)
    texts = ["ab", "c", None, "a", "", "b a", "it", "d"][:count]
    batches = [list(zip(rows, texts, strict=True))[start::accumulation] for start in range(accumulation)]
    return [batch_of(batch[accelerator.process_index :: accelerator.num_processes]) for batch in batches]


def batch_of(pairs):
    """The batch of recordings and transcripts."""
    rows, texts = zip(*pairs, strict=True)
    labels = character_labels(texts, tiny_config(auxiliary_tasks=AUXILIARY_TASKS).recognition_vocabulary)
    return collate(rows, dtype=torch.float64) | {"recognition_labels": labels, "ids": []}


def shard(model, arguments, total_steps, accelerator):
    """The state as Accelerate's FSDP makes it on GPUs; on a CPU it makes none."""
    for encoder in (model.speech_encoder.encoder.encoder.layers, model.text_encoder.encoder.encoder.layer):
        for layer in encoder:  # the rest is shared between modules: the word embeddings, for one
            fully_shard(layer)
    fully_shard(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.0)
    network = TrainableModule(model, accelerator.prepare_optimizer(optimizer), get_scheduler("constant", optimizer))
    discriminator = ModalityDiscriminator(WIDTH)
    shared = arguments.training, total_steps, accelerator
    return TrainingState(network, TrainableModule.create(discriminator, *shared, replicated=True))


def whole(value):
    return value.full_tensor() if isinstance(value, DTensor) else value


def watch_gradients(state, gradients, accelerator):
    """Copy what the first step of each side learns from, before it is spent."""
    for name, part in state.trainable.items():
        update = part.update

        def spy(name=name, part=part, update=update):
            for key, parameter in accelerator.unwrap_model(part.module).named_parameters():
                gradients.setdefault(f"gradient/{name}/{key}", whole(parameter.grad.clone()))
            update()

        part.update = spy


if __name__ == "__main__":
    main()
    disconnect()  # as the commands do: otherwise a process is aborted as it ends, now and then
