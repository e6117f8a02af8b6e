"""Everything that changes while a run goes on, saved and resumed as one."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from transformers import get_scheduler

from m4ser.discriminator import ModalityDiscriminator


@dataclass
class Progress:
    """How far a run is: whole epochs and optimizer steps done, and the best epoch so far."""

    epoch: int = 0
    step: int = 0
    best_score: float = -1.0
    best_epoch: int = 0


@dataclass
class TrainingState:
    """The network and its discriminator, with an optimizer and a schedule each, prepared by Accelerate."""

    model: torch.nn.Module
    optimizer: torch.optim.Optimizer
    scheduler: object
    discriminator: torch.nn.Module | None = None
    discriminator_optimizer: torch.optim.Optimizer | None = None
    discriminator_scheduler: object | None = None
    progress: Progress = field(default_factory=Progress)

    @classmethod
    def create(cls, model, arguments, total_steps, accelerator):
        """Both sides get Adam at the same rate on the same schedule: with the network's rate annealed and D's
        constant, D outruns it and L_G grows without bound."""
        parts = [model, *_optimizer(model, arguments.training, total_steps)]
        if arguments.objective.gamma > 0 and model.config.fuses and len(model.config.representations) == 2:
            discriminator = ModalityDiscriminator(model.config.hidden_size)
            parts += [discriminator, *_optimizer(discriminator, arguments.training, total_steps)]
        return cls(*accelerator.prepare(*parts))

    def save(self, folder, accelerator):
        accelerator.save_state(str(folder))
        if accelerator.is_main_process:
            (Path(folder) / "progress.json").write_text(json.dumps(asdict(self.progress)))

    def load(self, folder, accelerator):
        accelerator.load_state(str(folder))
        self.progress = Progress(**json.loads((Path(folder) / "progress.json").read_text()))


def _optimizer(module, arguments, total_steps):
    optimizer = torch.optim.AdamW(module.parameters(), lr=arguments.learning_rate, weight_decay=arguments.weight_decay)
    scheduler = get_scheduler(arguments.schedule, optimizer, arguments.warmup_steps, total_steps)
    return optimizer, scheduler
