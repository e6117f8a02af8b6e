"""The three splits as data loaders; the order of training is drawn from (seed, epoch)."""

import signal
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import datasets
import torch
from accelerate import Accelerator
from accelerate.utils import send_to_device
from torch.utils.data import DataLoader

from m4ser.data.augmentation import Augmentation
from m4ser.data.collator import M4SERCollator
from m4ser.data.sampler import LengthGroupedBatchSampler
from m4ser.data.schema import OWN_TEXT
from m4ser.model.base_m4ser import EmotionModel
from m4ser.model.processing_m4ser import M4SERProcessor
from m4ser.training.arguments import Arguments
from m4ser.training.own_hypotheses import OwnHypotheses


@dataclass
class Loaders:
    """Data loaders by split, and the two parts of training that change from epoch to epoch."""

    train: DataLoader
    validation: DataLoader
    test: DataLoader | None  # where anything is tested
    sampler: LengthGroupedBatchSampler
    augmentation: Augmentation
    own_hypotheses: OwnHypotheses | None  # where the network is trained on what it transcribes itself

    @classmethod
    def create(
        cls,
        corpus: datasets.DatasetDict,
        processor: M4SERProcessor,
        arguments: Arguments,
        accelerator: Accelerator,
        model: EmotionModel,
    ) -> "Loaders":
        """Make the loaders of a network, which decode recordings only where it has a speech encoder.

        Raises:
            ValueError: a network that is to be trained on its own hypotheses, and cannot be.
        """
        data, options = arguments.data, arguments.training
        has_speech, config = model.speech_encoder is not None, model.config
        vocabulary = config.recognition_vocabulary if model.can_transcribe else ()
        augmentation = Augmentation(
            data.augment_speed, data.augment_noise, data.augment_crop, data.augment_mask, options.seed
        )

        def sample(split: str, seed: int | None) -> LengthGroupedBatchSampler:
            """Give each process its share of the same batches; Accelerate's own would lose or repeat rows."""
            return LengthGroupedBatchSampler(
                [min(duration, data.max_seconds) for duration in corpus[split]["duration"]],
                options.batch_size,
                seed,
                options.max_batch_seconds,
                accelerator.num_processes,
                accelerator.process_index,
            )

        def load(
            split: str, sampler: LengthGroupedBatchSampler, augmentation: Augmentation | None = None
        ) -> DataLoader:
            return DataLoader(
                corpus[split],
                batch_sampler=sampler,
                collate_fn=M4SERCollator(processor, augmentation, data.max_seconds, has_speech, vocabulary),
                num_workers=options.num_workers,
                worker_init_fn=_ignore_interrupts,
                pin_memory=accelerator.device.type == "cuda",
            )

        sampler = sample("train", options.seed)
        validation = load("validation", sample("validation", None))
        test = load("test", sample("test", None)) if "test" in corpus else None
        own = None
        if data.text_column == OWN_TEXT:
            rewrite = "detection" not in config.auxiliary_tasks
            own = OwnHypotheses(processor.tokenizer, config.max_correction_length, rewrite, augmentation)
        return cls(load("train", sampler, augmentation), validation, test, sampler, augmentation, own)

    def total_steps(self, epochs: int, accumulation: int) -> int:
        """Count the optimizer steps of all epochs, whose batches may differ in number."""
        steps = 0
        for epoch in range(epochs):
            self.sampler.set_epoch(epoch)
            steps += -(-len(self.sampler) // accumulation)
        return steps

    def windows(
        self, epoch: int, start: int, accumulation: int, device: torch.device
    ) -> Iterator[list[dict[str, Any]]]:
        """Yield the batches of each optimizer step of an epoch, a list a step, from batch number `start` on."""
        self.sampler.set_epoch(epoch, start)
        self.augmentation.set_epoch(epoch)
        batches = iter(self.train)
        while window := list(islice(batches, accumulation)):
            yield [to_device(batch, device) for batch in window]


def _ignore_interrupts(_: int) -> None:
    """Let Ctrl-C end a worker no sooner than the training, which takes its batches until then."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def to_device(batch: dict[str, Any], device: torch.device) -> dict[str, Any]:
    return send_to_device(batch, device, non_blocking=True, skip_keys=["ids"])
