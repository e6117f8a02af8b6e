"""The three splits as prepared data loaders; the order of training is drawn from (seed, epoch)."""

from dataclasses import dataclass

from torch.utils.data import BatchSampler, DataLoader

from m4ser.data.augmentation import Augmentation
from m4ser.data.collator import M4SERCollator
from m4ser.data.sampler import LengthGroupedBatchSampler


@dataclass
class Loaders:
    """Data loaders by split, and the two parts of training that change from epoch to epoch."""

    train: DataLoader
    validation: DataLoader
    test: DataLoader
    sampler: LengthGroupedBatchSampler
    augmentation: Augmentation

    @classmethod
    def create(cls, corpus, processor, arguments, accelerator):
        data, options = arguments.data, arguments.training
        augmentation = Augmentation(
            data.augment_speed, data.augment_noise, data.augment_crop, data.augment_mask, options.seed
        )
        collator = M4SERCollator(processor)
        sampler = LengthGroupedBatchSampler(corpus["train"]["duration"], options.batch_size, options.seed)
        train = DataLoader(
            corpus["train"],
            batch_sampler=sampler,
            collate_fn=M4SERCollator(processor, augmentation),
        )
        held_out = [
            DataLoader(
                corpus[split],
                batch_sampler=batches_by_length(corpus[split], options.batch_size),
                collate_fn=collator,
            )
            for split in ("validation", "test")
        ]
        return cls(*accelerator.prepare(train, *held_out), sampler, augmentation)

    def set_epoch(self, epoch):
        self.sampler.set_epoch(epoch)
        self.augmentation.set_epoch(epoch)
        self.train.set_epoch(epoch)  # Accelerate's loader counts by itself, from 0 in a resumed run too


def batches_by_length(rows, batch_size):
    """Batches of rows in order of their duration, so that little is padded."""
    durations = rows["duration"]
    return BatchSampler(sorted(range(len(rows)), key=lambda row: durations[row]), batch_size, drop_last=False)
