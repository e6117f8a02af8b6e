"""Alg. 1: the network and its discriminator on one forward of the network a batch."""

import shutil
import time
from contextlib import nullcontext
from pathlib import Path

import torch
from accelerate.utils import gather_object
from torch.distributed.tensor import DTensor

from m4ser.evaluation.metrics import evaluate_predictions
from m4ser.losses import discriminator_loss, generator_loss, joint_loss, network_losses
from m4ser.run_folder import CHECKPOINTS, write_predictions
from m4ser.training.loaders import Loaders, to_device
from m4ser.training.loss_scaling import gather_rows, loss_scales
from m4ser.training.records import RunLog, write_results
from m4ser.training.setup import build_accelerator, build_experiment, network_class, run_identity, seed_step
from m4ser.training.state import TrainingState

NETWORK_INPUTS = ("input_values", "attention_mask", "input_ids", "text_attention_mask")
CORRECTION_INPUTS = ("correction_positions", "correction_ids")


class NonFiniteError(ValueError):
    """A loss or a gradient is NaN or infinite."""


def train(arguments):
    """Train, keep the best epoch by validation, measure it on the test split once.

    Args:
        arguments: [`Arguments`].

    Returns:
        What `output_dir`/results.json holds.

    Raises:
        DataError: a dataset that cannot be trained on, or checkpoints of another run.
        NonFiniteError: a loss that is no number, unless the arguments say to skip such steps.
    """
    options = arguments.training
    accelerator = build_accelerator(arguments)
    with accelerator.main_process_first():  # the others read what it has cached
        experiment = build_experiment(arguments, accelerator.device)
    loaders = Loaders.create(experiment.corpus, experiment.processor, arguments, accelerator)
    total_steps = loaders.total_steps(options.epochs, options.gradient_accumulation_steps)
    state = TrainingState.create(experiment.model, arguments, total_steps, accelerator)

    output_dir = Path(options.output_dir)
    identity = run_identity(arguments, experiment, accelerator)
    if options.resume:
        state.load(output_dir / CHECKPOINTS, identity, accelerator)
    elif accelerator.is_main_process:
        shutil.rmtree(output_dir / CHECKPOINTS, ignore_errors=True)

    def save():
        state.save(output_dir / CHECKPOINTS, identity, accelerator, options.keep_checkpoints)

    with RunLog(output_dir, state.progress, total_steps, arguments, accelerator) as log:
        while state.progress.epoch < options.epochs:
            train_epoch(state, loaders, arguments, accelerator, log, save)
            scores, _ = evaluate(state.model, loaders.validation, accelerator)
            log.epoch(state.progress, scores)
            keep_best(state, scores[options.selection_metric], experiment.processor, output_dir, accelerator)
            save()
    return conclude(experiment, loaders, state.progress, arguments, accelerator)


def keep_best(state, score, processor, output_dir, accelerator):
    """Save the model where it is the best so far."""
    if score <= state.progress.best_score:
        return
    state.progress.best_score, state.progress.best_epoch = score, state.progress.epoch
    weights = accelerator.get_state_dict(state.model)
    if accelerator.is_main_process:
        accelerator.unwrap_model(state.model, keep_torch_compile=False).save_pretrained(output_dir, state_dict=weights)
        processor.save_pretrained(output_dir)
    accelerator.wait_for_everyone()


def conclude(experiment, loaders, progress, arguments, accelerator):
    """Measure the best epoch on both held-out splits and write down what it predicts."""
    output_dir = Path(arguments.training.output_dir)
    best = accelerator.prepare_model(network_class(arguments.model).from_pretrained(output_dir), evaluation_mode=True)
    measured = {name: evaluate(best, getattr(loaders, name), accelerator) for name in ("validation", "test")}
    labels = experiment.corpus["train"].features["emotion"].names
    if accelerator.is_main_process:
        write_predictions(output_dir, {name: rows for name, (_, rows) in measured.items()}, labels)
    return write_results(
        output_dir,
        arguments,
        progress,
        accelerator,
        parameters=experiment.model.num_parameters(),
        labels=labels,
        splits={name: scores for name, (scores, _) in measured.items()},
        partition=experiment.partition,
    )


def train_epoch(state, loaders, arguments, accelerator, log, save):
    """What is left of an epoch, a row of the log each step."""
    options, progress = arguments.training, state.progress
    set_train_mode(state.model, options.learning_rates, accelerator)
    accumulation = options.gradient_accumulation_steps
    for window in loaders.windows(progress.epoch, progress.batch, accumulation, accelerator.device):
        # Not after the last step of an epoch: the epoch's own checkpoint follows its validation.
        if options.checkpoint_steps and progress.batch and progress.step % options.checkpoint_steps == 0:
            save()
        started = time.monotonic()
        seed_step(options.seed, progress.step, accelerator)
        try:
            losses = train_step(state, window, arguments, accelerator)
        except NonFiniteError:
            if options.on_nonfinite == "stop":
                save()
                raise
            progress.skipped += 1
            losses = None
        progress.step += 1
        progress.batch += len(window)
        progress.seconds += time.monotonic() - started
        log.step(state, window, losses, time.monotonic() - started)
    progress.epoch += 1
    progress.batch = 0


def set_train_mode(model, learning_rates, accelerator):
    """Of all but the frozen parts, which drop nothing out."""
    model.train()
    for name, rate in learning_rates.items():
        if rate == 0:
            accelerator.unwrap_model(model).get_submodule(name).eval()


def train_step(state, window, arguments, accelerator):
    """Lines 7 to 25 of Alg. 1 on the batches of one optimizer step.

    As in the algorithm, all losses are computed (lines 15 to 20) before either side is updated (lines 21 to 25): L_G
    looks at D as it stood before the step, however many batches are accumulated.

    Returns:
        Every named loss of the step as a float, a mean over all processes and batches, with "total" (eq. 22) and
        "invariant_probability", the mean of D(H_inv).

    Raises:
        NonFiniteError: a loss or a gradient is no number; nothing is updated then.
    """
    encoder = accelerator.unwrap_model(state.model).speech_encoder
    frame_lengths = None if encoder is None else encoder.frame_lengths
    scales = loss_scales(window, frame_lengths, accelerator)
    sums = {}
    for index, (batch, scale) in enumerate(zip(window, scales, strict=True)):
        last = index == len(window) - 1
        with nullcontext() if last else accelerator.no_sync(state.model):
            for name, value in _backward(state, batch, scale, arguments, accelerator).items():
                sums[name] = sums.get(name, 0.0) + value
    values = accelerator.reduce(torch.stack(list(sums.values())), "mean")
    if state.discriminator is not None:
        average_gradients(state.discriminator.module, accelerator)
    norms = [_clip(part, arguments.training.max_grad_norm, accelerator) for part in state.parts.values()]
    finite = values if accelerator.scaler is not None else torch.cat([values, torch.stack(norms)])
    if not finite.isfinite().all():
        for part in state.parts.values():
            part.optimizer.zero_grad()
        raise NonFiniteError(_describe(window, state.progress.step, accelerator))
    for part in state.parts.values():
        part.update(accelerator)
    return dict(zip(sums, values.tolist(), strict=True))


def _backward(state, batch, scale, arguments, accelerator):
    """Gradients of one batch for both sides; its share of each loss of the step."""
    output = forward(state.model, batch)
    losses = network_losses(output, batch, arguments.objective, gather_rows)
    adversarial = {}
    if state.discriminator is not None:
        discriminator, invariant_logits = discriminate(state, output)
        adversarial["discriminator"] = discriminator * scale["discriminator"]
        accelerator.backward(adversarial["discriminator"])
        losses["generator"] = frozen_generator_loss(state, output)
        probability = (invariant_logits.detach().float().sigmoid() * output.frame_mask).sum()
        adversarial["invariant_probability"] = (
            probability / output.frame_mask.sum().clamp(min=1) * scale["discriminator"]
        )
    losses = {name: value * scale[name] for name, value in losses.items()}
    total = joint_loss(losses, arguments.objective)
    accelerator.backward(total)
    named = {**losses, **adversarial, "total": total}
    return {name: value.detach().float() for name, value in named.items()}


def forward(model, batch):
    """The network's one forward a batch, both auxiliary tasks included as far as they are built."""
    return model(
        **{name: batch[name] for name in NETWORK_INPUTS},
        detect_errors=True,
        **{name: batch[name] for name in CORRECTION_INPUTS},
    )


def discriminate(state, output):
    """D's loss on detached representations, so that nothing of it reaches the network; its logits of the invariant."""
    streams = (output.speech_specific, output.text_specific, output.invariant)
    logits = state.discriminator.module(torch.cat([stream.detach() for stream in streams])).chunk(3)
    return discriminator_loss(*logits, output.frame_mask), logits[2]


def frozen_generator_loss(state, output):
    """L_G of line 25: D is frozen, yet the gradient flows through it to the invariant representation."""
    discriminator = state.discriminator.module
    discriminator.requires_grad_(False)
    loss = generator_loss(discriminator(output.invariant), output.frame_mask)
    discriminator.requires_grad_(True)
    return loss


def average_gradients(module, accelerator):
    """The mean over processes, as a wrapper of distributed modules makes it for the network."""
    for parameter in module.parameters():
        parameter.grad = accelerator.reduce(parameter.grad, "mean")


def _clip(part, max_norm, accelerator):
    """The norm of all gradients of a part, which are scaled down to `max_norm` where they are longer."""
    norm = accelerator.clip_grad_norm_(part.module.parameters(), max_norm or float("inf"))
    return (norm.full_tensor() if isinstance(norm, DTensor) else norm).float()


def _describe(window, step, accelerator):
    ids = gather_object([row for batch in window for row in batch["ids"]])
    return (
        f"A loss or a gradient is NaN or infinite in step {step + 1}, on the recordings {', '.join(ids)}; the state "
        "before it is saved. Look at them, lower the learning rate, or go on by --resume true --on_nonfinite skip."
    )


@torch.no_grad()
def evaluate(model, loader, accelerator):
    """Scores of a split, those of [`evaluate_predictions`] and `loss`, the mean cross-entropy; and its rows.

    Returns:
        The scores, and for each recording a dict of `id`, `label`, `prediction` and `probabilities`.
    """
    model.eval()
    rows = []
    for batch in loader:
        batch = to_device(batch, accelerator.device)
        logits = model(**{name: batch[name] for name in NETWORK_INPUTS}).logits.float()
        columns = batch["ids"], batch["labels"].tolist(), logits.argmax(-1).tolist(), logits.softmax(-1).tolist()
        losses = torch.nn.functional.cross_entropy(logits, batch["labels"], reduction="none").tolist()
        names = ("id", "label", "prediction", "probabilities", "loss")
        rows.extend(dict(zip(names, row, strict=True)) for row in zip(*columns, losses, strict=True))
    rows = gather_object(rows)
    scores = evaluate_predictions(
        [row["prediction"] for row in rows], [row["label"] for row in rows], len(rows[0]["probabilities"])
    )
    return {**scores, "loss": sum(row["loss"] for row in rows) / len(rows)}, rows
