"""Batches of recordings of similar length, the same for the same seed and epoch."""

from collections.abc import Iterator, Sequence

import numpy as np
from torch.utils.data import Sampler

# Recordings are shuffled, then sorted within pools of this many batches: random enough to learn from, alike enough
# in length that little is padded. A corpus has several pools, or its batches would be the same in every epoch.
BATCHES_PER_POOL = 50
POOLS = 4


class LengthGroupedBatchSampler(Sampler[list[int]]):
    """Batches of row numbers, drawn anew each epoch from (seed, epoch) alone.

    Args:
        lengths: of each row, in any unit.
        batch_size: rows in a batch; the last batch of an epoch may hold fewer, and no other: devices that share the
            batches would lose rows.
        seed: with the epoch, all that the batches depend on.
    """

    def __init__(self, lengths: Sequence[float], batch_size: int, seed: int = 0):
        self.lengths = np.asarray(lengths)
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-len(self.lengths) // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        rng = np.random.default_rng((self.seed, self.epoch))
        order = rng.permutation(len(self.lengths))
        whole = len(order) // self.batch_size
        pool = self.batch_size * max(1, min(BATCHES_PER_POOL, whole // POOLS))
        pools = [order[start : start + pool] for start in range(0, len(order), pool)]
        order = np.concatenate([rows[np.argsort(self.lengths[rows], kind="stable")] for rows in pools])
        batches = [order[start : start + self.batch_size] for start in range(0, len(order), self.batch_size)]
        for index in rng.permutation(whole):
            yield batches[index].tolist()
        for batch in batches[whole:]:
            yield batch.tolist()
