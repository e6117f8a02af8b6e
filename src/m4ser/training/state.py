"""The state of a run, saved and resumed as one."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_state_dict, set_state_dict
from transformers import get_scheduler

from m4ser.data.schema import DataError
from m4ser.model.base_m4ser import EmotionModel
from m4ser.training.arguments import GROUPS, Arguments, TrainingArguments
from m4ser.training.checkpoints import read_checkpoint, write_checkpoint
from m4ser.training.discriminator import ModalityDiscriminator

# Whole tensors by name, whether a module is on one device, copied to several or spread over them.
FULL_STATE = StateDictOptions(full_state_dict=True, cpu_offload=True)


@dataclass
class Progress:
    """How far a run is.

    Args:
        epoch: whole epochs done. batch: batches of the next one that are done. step: optimizer steps done.
        best_score, best_epoch: of the epoch kept.
        skipped: steps left out because a loss was no number or, in fp16, a gradient too large.
        seconds: wall time of the run, loading, validation and saving included, over all its resumes.
        training_seconds: of it, in training steps.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    best_score: float = -1.0
    best_epoch: int = 0
    skipped: int = 0
    seconds: float = 0.0
    training_seconds: float = 0.0


@dataclass
class TrainableModule:
    """A module with its optimizer and schedule: the network, or its discriminator."""

    module: nn.Module
    optimizer: Any  # Accelerate's wrapper of torch's
    scheduler: torch.optim.lr_scheduler.LRScheduler

    @classmethod
    def create(
        cls,
        module: nn.Module,
        options: TrainingArguments,
        total_steps: int,
        accelerator: Accelerator,
        replicated: bool = False,
    ) -> "TrainableModule":
        """Prepare a module for training; where it is `replicated`, each process keeps a plain copy of it."""
        groups = parameter_groups(module, options)
        fused = accelerator.device.type in ("cpu", "cuda")
        optimizer = torch.optim.AdamW(groups, lr=options.learning_rate, weight_decay=options.weight_decay, fused=fused)
        if replicated:
            module, optimizer = module.to(accelerator.device), accelerator.prepare_optimizer(optimizer)
            for parameter in module.parameters():
                parameter.data = broadcast(parameter.data)
        else:
            module, optimizer = accelerator.prepare(module, optimizer)
        # Not prepared: Accelerate would let it step once for every process.
        scheduler = get_scheduler(options.schedule, optimizer.optimizer, options.warmup_steps, total_steps)
        return cls(module, optimizer, scheduler)

    def update(self) -> None:
        """Take one optimizer step with the gradients that are there, no longer scaled, and clear them."""
        # Torch's own: in fp16, Accelerate's would unscale them again and update the scaler for each module.
        _plain(self.optimizer).step()
        self.scheduler.step()
        self.optimizer.zero_grad()


@dataclass
class TrainingState:
    """The network and, where it is trained against one, its discriminator; how far they are."""

    network: TrainableModule
    discriminator: TrainableModule | None = None
    progress: Progress = field(default_factory=Progress)

    @classmethod
    def create(
        cls, model: EmotionModel, arguments: Arguments, total_steps: int, accelerator: Accelerator
    ) -> "TrainingState":
        """Prepare both sides with Adam at the same rate on the same schedule: with the network's rate annealed and D's
        constant, D outruns it and L_G grows without bound.

        D is small, and frozen and thawed within a step, which wrappers of distributed modules do not survive: each
        process has its own, and `train_step` averages its gradients.
        """
        shared = arguments.training, total_steps, accelerator
        state = cls(TrainableModule.create(model, *shared))
        if arguments.objective.adversarial_weight > 0 and model.config.is_adversarial:
            discriminator = ModalityDiscriminator(model.config.hidden_size)
            state.discriminator = TrainableModule.create(discriminator, *shared, replicated=True)
        return state

    @property
    def model(self) -> nn.Module:
        return self.network.module

    @property
    def trainable(self) -> dict[str, TrainableModule]:
        """The modules that are trained, by name."""
        modules = {"network": self.network, "discriminator": self.discriminator}
        return {name: module for name, module in modules.items() if module is not None}

    def clear_gradients(self) -> None:
        for trained in self.trainable.values():
            trained.optimizer.zero_grad()

    def save(self, folder: Path, identity: Mapping[str, Any], accelerator: Accelerator, keep: int) -> None:
        """Write a checkpoint that only a run of the same `identity` (a mapping that JSON can hold) can resume from."""
        tensors: dict[str, Tensor] = {}
        values: dict[str, Any] = {}
        for name, trained in self.trainable.items():
            state: Any = get_state_dict(trained.module, _plain(trained.optimizer), options=FULL_STATE)
            weights, learning = state
            tensors |= {f"{name}/module/{key}": value for key, value in weights.items()}
            for parameter, moments in learning.get("state", {}).items():
                tensors |= {f"{name}/optimizer/{parameter}/{key}": value for key, value in moments.items()}
            values[name] = {
                "param_groups": learning.get("param_groups"),
                "schedule": trained.scheduler.state_dict(),
            }
        if accelerator.scaler is not None:
            values["scaler"] = accelerator.scaler.state_dict()
        if accelerator.is_main_process:
            values |= {"identity": identity, "progress": asdict(self.progress)}
            write_checkpoint(folder, self.progress.step, tensors, values, keep)
        accelerator.wait_for_everyone()

    def load(self, folder: Path, identity: Mapping[str, Any], accelerator: Accelerator) -> None:
        """Resume from the newest whole checkpoint, if there is one.

        Raises:
            DataError: it belongs to a run of another identity.
        """
        checkpoint = read_checkpoint(folder)
        if checkpoint is None:
            return
        tensors, values = checkpoint
        _check_identity(folder, values["identity"], identity)
        for name, trained in self.trainable.items():
            set_state_dict(
                trained.module,
                _plain(trained.optimizer),
                model_state_dict=_below(tensors, f"{name}/module/"),
                optim_state_dict={
                    "state": _by_parameter(_below(tensors, f"{name}/optimizer/")),
                    "param_groups": [_with_tuples(group) for group in values[name]["param_groups"]],
                },
                options=FULL_STATE,
            )
            trained.scheduler.load_state_dict(values[name]["schedule"])
        if accelerator.scaler is not None:
            accelerator.scaler.load_state_dict(values["scaler"])
        self.progress = Progress(**values["progress"])


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Any]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _by_parameter(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """{"layer.weight/exp_avg": ...} to {"layer.weight": {"exp_avg": ...}}."""
    states: dict[str, Any] = {}
    for key, value in tensors.items():
        parameter, name = key.split("/")
        states.setdefault(parameter, {})[name] = value
    return states


def _with_tuples(group: Mapping[str, Any]) -> dict[str, Any]:
    """An optimizer's group as it was before JSON made lists of its tuples."""
    return {
        key: tuple(value) if isinstance(value, list) and key != "params" else value for key, value in group.items()
    }


def _plain(optimizer: Any) -> torch.optim.Optimizer:
    """Torch's own optimizer within Accelerate's."""
    return getattr(optimizer, "optimizer", optimizer)


def _check_identity(folder: Path, written: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    # A run that was begun before there was an argument had its default.
    defaults = {item.name: item.default for group in GROUPS for item in fields(group)}
    differing = [name for name in own if written.get(name, defaults.get(name)) != own[name]]
    if differing:
        name = differing[0]
        raise DataError(
            f"The checkpoints in {folder} belong to another run: {name} was {written.get(name)!r} there and is "
            f"{own[name]!r} now; give another --output_dir, or leave --resume out to start anew."
        )


def parameter_groups(module: nn.Module, options: TrainingArguments) -> list[dict[str, Any]]:
    """Return the trainable parameters, those of a part in `options.rates` with a rate of their own.

    A part is named as in the model's state, such as "speech_encoder" or "speech_encoder.encoder.feature_extractor";
    of two that hold a parameter, the longer name decides. A rate of 0 freezes it.
    """
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        holders = [part for part in options.rates if name.startswith(f"{part}.")]
        rate = options.rates[max(holders, key=len)] if holders else options.learning_rate
        if rate == 0:
            parameter.requires_grad_(False)
        elif parameter.requires_grad:
            groups.setdefault(rate, []).append(parameter)
    return [{"params": parameters, "lr": rate} for rate, parameters in groups.items()]
