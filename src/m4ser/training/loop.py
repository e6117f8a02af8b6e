"""Alg. 1: the network and its discriminator, in turn, on one forward of the network a batch."""

import os
import time
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from tqdm.auto import tqdm

from m4ser.evaluation.metrics import evaluate_predictions
from m4ser.losses import discriminator_loss, generator_loss, joint_loss, network_losses
from m4ser.model.modeling_m4ser import M4SERModel
from m4ser.training.loaders import Loaders
from m4ser.training.records import CsvLog, write_results
from m4ser.training.setup import build_experiment
from m4ser.training.state import TrainingState

NETWORK_INPUTS = ("input_values", "attention_mask", "input_ids", "text_attention_mask")
CORRECTION_INPUTS = ("correction_positions", "correction_ids")
CHECKPOINT = Path("checkpoints") / "last"


def train(arguments):
    """Train, keep the best epoch by validation, measure it on the test split once.

    Args:
        arguments: [`Arguments`].

    Returns:
        What `output_dir`/results.json holds.

    Raises:
        DataError: a data set that cannot be trained on.
    """
    options = arguments.training
    started = time.monotonic()
    set_seed(options.seed)
    accelerator = Accelerator(
        gradient_accumulation_steps=options.gradient_accumulation_steps,
        mixed_precision=options.mixed_precision,
    )
    _use_all_cores(accelerator)
    experiment = build_experiment(arguments)
    loaders = Loaders.create(experiment.corpus, experiment.processor, arguments, accelerator)
    total_steps = options.epochs * -(-len(loaders.sampler) // options.gradient_accumulation_steps)
    state = TrainingState.create(experiment.model, arguments, total_steps, accelerator)

    output_dir = Path(options.output_dir)
    if options.resume and (output_dir / CHECKPOINT).is_dir():
        state.load(output_dir / CHECKPOINT, accelerator)
    output_dir.mkdir(parents=True, exist_ok=True)
    step = state.progress.step
    with CsvLog(output_dir / "metrics.csv", step) as steps, CsvLog(output_dir / "validation.csv", step) as epochs:
        while state.progress.epoch < options.epochs:
            train_epoch(state, loaders, arguments, accelerator, steps)
            scores = evaluate(state.model, loaders.validation, accelerator)
            epochs.append({"step": state.progress.step, "epoch": state.progress.epoch, **_numbers(scores)})
            keep(state, scores[options.selection_metric], experiment.processor, output_dir, accelerator)

    best = accelerator.prepare(M4SERModel.from_pretrained(output_dir))
    splits = {name: evaluate(best, getattr(loaders, name), accelerator) for name in ("validation", "test")}
    return write_results(
        output_dir / "results.json",
        arguments,
        state.progress,
        time.monotonic() - started,
        parameters=experiment.model.num_parameters(),
        labels=experiment.corpus["train"].features["emotion"].names,
        splits=splits,
        partition=experiment.partition,
    )


def keep(state, score, processor, output_dir, accelerator):
    """Save the model where it is the best so far, and the state to go on from in any case."""
    if score > state.progress.best_score:
        state.progress.best_score, state.progress.best_epoch = score, state.progress.epoch
        accelerator.unwrap_model(state.model).save_pretrained(output_dir)
        processor.save_pretrained(output_dir)
    state.save(output_dir / CHECKPOINT, accelerator)


def _use_all_cores(accelerator):
    """`accelerate launch` leaves a process on a CPU one thread, unless it is told another number."""
    launched = "ACCELERATE_USE_CPU" in os.environ
    if accelerator.device.type == "cpu" and launched and torch.get_num_threads() == 1:
        torch.set_num_threads(max(1, os.cpu_count() // accelerator.num_processes))


def train_epoch(state, loaders, arguments, accelerator, log):
    """One pass over the training split, a row of the log each step."""
    progress = state.progress
    loaders.set_epoch(progress.epoch)
    state.model.train()
    bar = tqdm(
        loaders.train,
        desc=f"epoch {progress.epoch + 1}/{arguments.training.epochs}",
        disable=not accelerator.is_local_main_process,
        leave=False,
    )
    for batch in bar:
        started = time.monotonic()
        losses = train_step(state, batch, arguments, accelerator)
        progress.step += 1
        log.append(
            {
                "step": progress.step,
                "epoch": progress.epoch + 1,
                **losses,
                "learning_rate": state.scheduler.get_last_lr()[0],
                "seconds": round(time.monotonic() - started, 4),
            }
        )
        bar.set_postfix({name: f"{losses[name]:.3f}" for name in ("emotion", "total")})
    progress.epoch += 1


def train_step(state, batch, arguments, accelerator):
    """Lines 7 to 25 of Alg. 1 on one batch.

    Returns:
        Every named loss of the step, as floats, with "total" (eq. 22).
    """
    parts = [state.model] if state.discriminator is None else [state.model, state.discriminator]
    with accelerator.accumulate(*parts):
        output = forward(state.model, batch)
        losses = network_losses(output, batch, arguments.objective)
        adversarial = {}
        if state.discriminator is not None:
            adversarial["discriminator"] = discriminator_step(state, output, arguments, accelerator)
            losses["generator"] = frozen_generator_loss(state, output, accelerator)
        total = joint_loss(losses, arguments.objective)
        accelerator.backward(total)
        _update(state.model, state.optimizer, state.scheduler, arguments, accelerator)
    named = {**losses, **adversarial, "total": total}
    return {name: value.detach().item() for name, value in named.items()}


def forward(model, batch):
    """The network's one forward a batch, both auxiliary tasks included as far as they are built."""
    return model(
        **{name: batch[name] for name in NETWORK_INPUTS},
        detect_errors=True,
        **{name: batch[name] for name in CORRECTION_INPUTS},
    )


def discriminator_step(state, output, arguments, accelerator):
    """Line 23: D learns on detached representations, so that nothing of it reaches the network."""
    streams = (output.speech_specific, output.text_specific, output.invariant)
    logits = [state.discriminator(stream.detach()) for stream in streams]
    loss = discriminator_loss(*logits, output.frame_mask)
    accelerator.backward(loss)
    _update(
        state.discriminator,
        state.discriminator_optimizer,
        state.discriminator_scheduler,
        arguments,
        accelerator,
    )
    return loss


def frozen_generator_loss(state, output, accelerator):
    """L_G of line 25: D is frozen, yet the gradient flows through it to the invariant representation."""
    discriminator = accelerator.unwrap_model(state.discriminator)
    discriminator.requires_grad_(False)
    loss = generator_loss(discriminator(output.invariant), output.frame_mask)
    discriminator.requires_grad_(True)
    return loss


def _update(module, optimizer, scheduler, arguments, accelerator):
    if accelerator.sync_gradients and arguments.training.max_grad_norm:
        accelerator.clip_grad_norm_(module.parameters(), arguments.training.max_grad_norm)
    optimizer.step()
    scheduler.step()
    optimizer.zero_grad()


@torch.no_grad()
def evaluate(model, loader, accelerator):
    """Scores of a split: those of [`evaluate_predictions`], and `loss`, the mean cross-entropy."""
    model.eval()
    predictions, references, losses = [], [], []
    for batch in loader:
        logits = model(**{name: batch[name] for name in NETWORK_INPUTS}).logits.float()
        loss = torch.nn.functional.cross_entropy(logits, batch["labels"], reduction="none")
        gathered = accelerator.gather_for_metrics((logits.argmax(-1), batch["labels"], loss))
        for values, part in zip((predictions, references, losses), gathered, strict=True):
            values.extend(part.tolist())
    scores = evaluate_predictions(predictions, references, logits.shape[-1])
    return {**scores, "loss": sum(losses) / len(losses)}


def _numbers(scores):
    return {name: value for name, value in scores.items() if isinstance(value, (int, float))}
