"""Alg. 1: the network and its discriminator on one forward of the network a batch."""

import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import partial
from inspect import signature
from pathlib import Path
from threading import Event
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from m4ser.data.schema import DataError
from m4ser.files import weights_written_to
from m4ser.losses import LossInputs, compute_losses, joint_loss, objective_of
from m4ser.model.processing_m4ser import M4SERProcessor
from m4ser.model.saving_m4ser import saved_together
from m4ser.model.speech_encoder_m4ser import SpeechEncoder
from m4ser.run_folder import CHECKPOINTS, discard_run, holds_run, is_finished, write_predictions
from m4ser.systems import SYSTEMS
from m4ser.training.adapters import merge_adapters
from m4ser.training.arguments import LAST_EPOCH, Arguments, TrainingArguments
from m4ser.training.discriminator import invariant_probability
from m4ser.training.evaluating import evaluate
from m4ser.training.interruption import postponed_interrupt
from m4ser.training.loaders import Loaders
from m4ser.training.loss_scaling import LossScales, gather_rows
from m4ser.training.records import RunLog, write_results
from m4ser.training.setup import (
    Experiment,
    build_accelerator,
    build_experiment,
    run_identity,
    seed_step,
)
from m4ser.training.state import Progress, TrainableModule, TrainingState

KEPT_WHILE_TRAINING = 2  # checkpoints: the second in case the newest is damaged


class NonFiniteError(ValueError):
    """A loss or a gradient is NaN or infinite."""


def train(arguments: Arguments) -> dict[str, Any]:
    """Train, keep the best epoch by validation, measure it on the test split once.

    Args:
        arguments: [`Arguments`].

    Returns:
        The content of `output_dir`/results.json.

    Raises:
        DataError: a dataset that cannot be trained on, a folder that holds a run which is neither to be resumed nor
            overwritten, checkpoints of another run, or none of a finished one.
        NonFiniteError: a loss that is no number, unless the arguments say to skip such steps.
        KeyboardInterrupt: by SIGINT; the step that was being taken is saved, unless it came twice.
    """
    started = time.monotonic()
    options = arguments.training
    output_dir = Path(options.output_dir)
    check_folder(output_dir, options)
    accelerator = build_accelerator(arguments)
    with accelerator.main_process_first():  # the others read what it has cached
        experiment = build_experiment(arguments, accelerator.device)
    loaders = Loaders.create(experiment.corpus, experiment.processor, arguments, accelerator, experiment.model)
    total_steps = loaders.total_steps(options.epochs, options.gradient_accumulation_steps)
    state = TrainingState.create(experiment.model, arguments, total_steps, accelerator)
    identity = run_identity(arguments, experiment, accelerator)
    if options.resume:
        state.load(output_dir / CHECKPOINTS, identity, accelerator)
    elif accelerator.is_main_process:
        discard_run(output_dir)  # not before everything else is known to be in order

    begun = started - state.progress.seconds  # as if it had never been cut

    def save() -> None:
        state.progress.seconds = time.monotonic() - begun
        keep = options.keep_checkpoints or KEPT_WHILE_TRAINING
        state.save(output_dir / CHECKPOINTS, identity, accelerator, keep)

    records = RunLog(output_dir, state.progress, total_steps, arguments, accelerator)
    with records as log, postponed_interrupt(accelerator) as interrupted:
        while state.progress.epoch < options.epochs:
            train_epoch(state, loaders, arguments, accelerator, log, save, interrupted)
            scores, _ = evaluate(state.model, loaders.validation, accelerator, loaders.own_hypotheses)
            log.epoch(state.progress, scores)
            score = selection_score(scores, state.progress, options)
            keep_best(state, score, experiment.processor, output_dir, accelerator)
            if interrupted.is_set() or checkpoint_is_due(options, state.progress):
                save()
            stop_if(interrupted, state.progress)
    results = conclude(experiment, loaders, state.progress, arguments, accelerator, begun)
    if options.keep_checkpoints is None and accelerator.is_main_process:
        shutil.rmtree(output_dir / CHECKPOINTS, ignore_errors=True)
    return results


def check_folder(output_dir: Path, options: TrainingArguments) -> None:
    """Refuse to destroy the run in a folder, and to resume a finished one whose checkpoints are gone.

    Raises:
        DataError: naming the folder, and what to do.
    """
    if not options.resume and not options.overwrite and holds_run(output_dir):
        raise DataError(
            f"{output_dir} holds a run or a model; give another --output_dir, --resume true to go on with it, or "
            "--overwrite true to lose it."
        )
    if options.resume and is_finished(output_dir) and not (output_dir / CHECKPOINTS).exists():
        raise DataError(
            f"{output_dir} is finished and its checkpoints are removed (--keep_checkpoints keeps them); give another "
            "--output_dir, or --overwrite true instead of --resume to train it anew."
        )


def checkpoint_is_due(options: TrainingArguments, progress: Progress) -> bool:
    """Tell whether a checkpoint follows the epoch that has just ended."""
    counts = (options.checkpoint_epochs, progress.epoch), (options.checkpoint_steps, progress.step)
    is_last = progress.epoch == options.epochs
    return any(every and count % every == 0 for every, count in counts) or (
        is_last and options.keep_checkpoints is not None
    )


def selection_score(scores: Mapping[str, Any], progress: Progress, options: TrainingArguments) -> float:
    """Return what the best epoch has most of: the measure that the arguments name, or being the last."""
    if options.selection_metric != LAST_EPOCH:
        return scores[options.selection_metric]
    return progress.epoch if progress.epoch == options.epochs else -1.0


def keep_best(
    state: TrainingState, score: float, processor: M4SERProcessor, output_dir: Path, accelerator: Accelerator
) -> None:
    """Save the model where it is the best so far."""
    if score <= state.progress.best_score:
        return
    state.progress.best_score, state.progress.best_epoch = score, state.progress.epoch
    weights = merge_adapters(accelerator.get_state_dict(state.model))
    if accelerator.is_main_process:
        network = accelerator.unwrap_model(state.model, keep_torch_compile=False)
        # Both at once: after --overwrite the processor that is there may be another model's.
        with weights_written_to(output_dir), saved_together(output_dir) as folder:
            processor.save_pretrained(folder)
            network.save_pretrained(folder, state_dict=weights)
    accelerator.wait_for_everyone()


def conclude(
    experiment: Experiment,
    loaders: Loaders,
    progress: Progress,
    arguments: Arguments,
    accelerator: Accelerator,
    begun: float,
) -> dict[str, Any]:
    """Measure the best epoch on the held-out splits and write its predictions; the run has `begun` by the clock."""
    output_dir = Path(arguments.training.output_dir)
    best = accelerator.prepare_model(SYSTEMS[arguments.model.system].from_pretrained(output_dir), evaluation_mode=True)
    held_out = {"validation": loaders.validation} | ({"test": loaders.test} if loaders.test else {})
    measured, seconds = {}, 0.0
    for name, loader in held_out.items():
        started = time.monotonic()
        measured[name] = evaluate(best, loader, accelerator, loaders.own_hypotheses)
        seconds = time.monotonic() - started  # of the last, which is the test split where there is one
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
        test_seconds=seconds if loaders.test else None,
        partition=experiment.partition,
        begun=begun,
    )


def train_epoch(
    state: TrainingState,
    loaders: Loaders,
    arguments: Arguments,
    accelerator: Accelerator,
    log: RunLog,
    save: Callable[[], None],
    interrupted: Event,
) -> None:
    """Train for the rest of an epoch, a row of the log each step.

    Raises:
        KeyboardInterrupt: after the step at which it was `interrupted`, which is saved.
    """
    options, progress = arguments.training, state.progress
    set_train_mode(state.model, options.rates, accelerator)
    accumulation = options.gradient_accumulation_steps
    for window in loaders.windows(progress.epoch, progress.batch, accumulation, accelerator.device):
        # Not after the last step of an epoch: that checkpoint follows the epoch's validation.
        if options.checkpoint_steps and progress.batch and progress.step % options.checkpoint_steps == 0:
            save()
        started = time.monotonic()
        seed_step(options.seed, progress.step, accelerator)
        try:
            if loaders.own_hypotheses is not None:
                network = accelerator.unwrap_model(state.model)
                window = [loaders.own_hypotheses.for_training(network, batch) for batch in window]
            losses: dict[str, float] | None = train_step(state, window, arguments, accelerator)
        except NonFiniteError:
            if options.on_nonfinite == "stop":
                save()
                raise
            progress.skipped += 1
            losses = None
        progress.step += 1
        progress.batch += len(window)
        progress.training_seconds += time.monotonic() - started
        log.step(state, window, losses, time.monotonic() - started)
        if interrupted.is_set():
            save()
        stop_if(interrupted, progress)
    progress.epoch += 1
    progress.batch = 0


def stop_if(interrupted: Event, progress: Progress) -> None:
    """Raise KeyboardInterrupt where the training was interrupted, and is saved."""
    if interrupted.is_set():
        raise KeyboardInterrupt(f"step {progress.step} is saved")


def set_train_mode(model: nn.Module, learning_rates: Mapping[str, float], accelerator: Accelerator) -> None:
    """Switch all but the frozen parts, which keep dropout off, to training."""
    model.train()
    network = accelerator.unwrap_model(model)
    for name, rate in learning_rates.items():
        if rate == 0:
            network.get_submodule(name).eval()
    for part in (network.speech_encoder, network.text_encoder):
        if part is not None and not any(parameter.requires_grad for parameter in part.encoder.parameters()):
            part.encoder.eval()  # Whisper's, which is frozen unless it has a learning rate


def train_step(
    state: TrainingState, window: list[dict[str, Any]], arguments: Arguments, accelerator: Accelerator
) -> dict[str, float]:
    """Lines 7 to 25 of Alg. 1 on the batches of one optimizer step.

    As in the algorithm, all losses are computed (lines 15 to 20) before either side is updated (lines 21 to 25): L_G
    looks at D as it stood before the step, however many batches are accumulated.

    Returns:
        Every named loss of the step as a float, over all processes and batches, with "total" (eq. 22) and
        "invariant_probability", the mean of D(H_inv).

    Raises:
        NonFiniteError: as of `update`; nothing is updated then.
    """
    encoder = accelerator.unwrap_model(state.model).speech_encoder
    window = [batch | _counted(batch, encoder) for batch in window]
    scales = LossScales(window, accelerator, arguments.objective.loss_reduction)
    sums: dict[str, Tensor] = {}
    for index, batch in enumerate(window):
        last = index == len(window) - 1
        with nullcontext() if last else accelerator.no_sync(state.model):
            for name, value in _backward(state, batch, partial(scales.scale, index), arguments, accelerator).items():
                sums[name] = sums.get(name, 0.0) + value
    values = accelerator.reduce(torch.stack(list(sums.values())), "mean")
    if state.discriminator is not None:
        average_gradients(state.discriminator.module, accelerator)
    update(state, values, window, arguments.training.max_grad_norm, accelerator)
    return dict(zip(sums, values.tolist(), strict=True))


def update(
    state: TrainingState, losses: Tensor, window: list[dict[str, Any]], max_norm: float, accelerator: Accelerator
) -> None:
    """Take the optimizer steps of both sides with the gradients that are there, or neither's.

    Neither's, and no step of a schedule, where fp16's gradients overflow: the scaler then lowers its scale.

    Raises:
        NonFiniteError: one of the `losses` is no number, or a gradient, unless it was scaled.
    """
    trainable, scaler = state.trainable.values(), accelerator.scaler
    if scaler is not None:
        _check_finite(losses, state, window)
        accelerator.unscale_gradients([trained.optimizer for trained in trainable])
    norms = torch.stack([_clip(trained, max_norm, accelerator) for trained in trainable])
    if scaler is None:
        _check_finite(torch.cat([losses, norms]), state, window)
    if scaler is None or norms.isfinite().all():
        for trained in trainable:
            trained.update()
    else:
        state.progress.skipped += 1
        state.clear_gradients()
    if scaler is not None:
        scaler.update()


def _check_finite(values: Tensor, state: TrainingState, window: list[dict[str, Any]]) -> None:
    if not values.isfinite().all():
        state.clear_gradients()
        raise NonFiniteError(_describe(window, state.progress.step))


def _counted(batch: dict[str, Any], encoder: SpeechEncoder | None) -> dict[str, Tensor]:
    """Return what losses are counted by besides a batch's own columns (`m4ser.losses`)."""
    lengths = torch.zeros_like(batch["labels"])
    if encoder is not None:
        lengths = encoder.frame_lengths(batch["attention_mask"], precomputed="speech_hidden_states" in batch)
    return {"frame_lengths": lengths, "all_labels": gather_rows(batch["labels"])}


def _backward(
    state: TrainingState,
    batch: dict[str, Any],
    scale: Callable[[str], Tensor],
    arguments: Arguments,
    accelerator: Accelerator,
) -> dict[str, Tensor]:
    """Compute the gradients of one batch for both sides; return its share of each loss of the step."""
    output = forward(state.model, batch, accelerator)
    discriminator = None if state.discriminator is None else state.discriminator.module
    inputs = LossInputs(output, batch, arguments.objective, gather_rows, discriminator)
    losses = {name: loss * scale(name) for name, loss in compute_losses(inputs).items()}
    for name, loss in losses.items():
        if objective_of(name).trains_discriminator:
            accelerator.backward(loss)
    total = joint_loss(losses, arguments.objective)
    accelerator.backward(total)
    if discriminator is not None:
        probability = invariant_probability(inputs.invariant_logits, output.frame_mask)
        losses["invariant_probability"] = scale("discriminator") * probability
    return {name: value.detach().float() for name, value in {**losses, "total": total}.items()}


def forward(model: nn.Module, batch: Mapping[str, Any], accelerator: Accelerator) -> Any:
    """Run the network's one forward of a batch, on the columns that the system's forward takes; return its output."""
    system = accelerator.unwrap_model(model, keep_torch_compile=False)
    taken = signature(system.forward).parameters
    return model(**{name: batch[name] for name in taken if name in batch}, **system.training_options)


def average_gradients(module: nn.Module, accelerator: Accelerator) -> None:
    """Average the gradients over processes, as a wrapper of distributed modules makes it for the network."""
    for parameter in module.parameters():
        parameter.grad = accelerator.reduce(parameter.grad, "mean")


def _clip(trained: TrainableModule, max_norm: float, accelerator: Accelerator) -> Tensor:
    """Scale a module's gradients down to `max_norm` where they are longer; return their norm before."""
    parameters, limit = trained.module.parameters(), max_norm or float("inf")
    if accelerator.scaler is None:
        norm = accelerator.clip_grad_norm_(parameters, limit)
    else:  # Accelerate would unscale the gradients of all optimizers, for each module again.
        norm = nn.utils.clip_grad_norm_(parameters, limit)
    return (norm.full_tensor() if isinstance(norm, DTensor) else norm).float()


def _describe(window: list[dict[str, Any]], step: int) -> str:
    ids = gather_object([row for batch in window for row in batch["ids"]])
    return (
        f"A loss or a gradient is NaN or infinite in step {step + 1}, on the recordings {', '.join(ids)}; the state "
        "before it is saved. Inspect them, lower the learning rate, or resume with --resume true --on_nonfinite skip."
    )
