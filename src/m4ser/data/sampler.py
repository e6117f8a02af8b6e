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

    Several processes draw the same batches, `batch_size * num_processes` rows each, and every process takes its share
    of each: two processes with batches of 4 learn from what one with batches of 8 does.

    Args:
        lengths: of each row, in any unit.
        batch_size: rows that a process takes of a batch.
        seed: with the epoch, all that the batches depend on; None keeps the rows in order of their length.
        max_length: the most that a process's share may hold in the unit of `lengths`, padding included. A single row
            that is longer than that stands alone.
        num_processes, process_index: how many share the batches, and which of them this is.
    """

    def __init__(
        self,
        lengths: Sequence[float],
        batch_size: int,
        seed: int | None = 0,
        max_length: float | None = None,
        num_processes: int = 1,
        process_index: int = 0,
    ):
        self.lengths = np.asarray(lengths, dtype=float)
        self.batch_size = batch_size
        self.seed = seed
        self.max_length = max_length or float("inf")
        self.num_processes = num_processes
        self.process_index = process_index
        self.set_epoch(0)

    def set_epoch(self, epoch: int, start: int = 0) -> None:
        """Draw the batches of an epoch; the first `start` of them were taken before a run was cut."""
        self.epoch = epoch
        self.start = start

    def __len__(self) -> int:
        return len(self.batches()) - self.start

    def __iter__(self) -> Iterator[list[int]]:
        for batch in self.batches()[self.start :]:
            yield batch[self.process_index :: self.num_processes]

    def batches(self) -> list[list[int]]:
        """Return all batches of the epoch, whole."""
        if self.seed is None:
            return self._cut(np.argsort(self.lengths, kind="stable"))
        rng = np.random.default_rng((self.seed, self.epoch))
        order = rng.permutation(len(self.lengths))
        rows = self.batch_size * self.num_processes
        pool = rows * max(1, min(BATCHES_PER_POOL, len(order) // rows // POOLS))
        pools = [order[start : start + pool] for start in range(0, len(order), pool)]
        batches = [batch for rows in pools for batch in self._cut(rows[np.argsort(self.lengths[rows], kind="stable")])]
        batches = self._leave_nobody_idle(batches)
        whole = len(batches) if self.max_length < float("inf") else len(order) // rows
        return [batches[index] for index in rng.permutation(whole)] + batches[whole:]

    def _cut(self, order: np.ndarray) -> list[list[int]]:
        """Cut rows in order of their length into batches under both caps, with a row at least for every process."""
        batches: list[list[int]] = [[]]
        for row in order.tolist():
            share = len(batches[-1]) // self.num_processes + 1
            full = share > self.batch_size or share * self.lengths[row] > self.max_length
            if full and len(batches[-1]) >= self.num_processes:
                batches.append([])
            batches[-1].append(row)
        return self._leave_nobody_idle(batches)

    def _leave_nobody_idle(self, batches: list[list[int]]) -> list[list[int]]:
        """Fill the last batch, where it has no row for each process, from the one before it."""
        missing = self.num_processes - len(batches[-1])
        if missing <= 0 or len(batches) == 1:
            return batches
        *others, giving, last = batches
        kept = len(giving) - missing
        if kept < self.num_processes:
            return [*others, giving + last]
        return [*others, giving[:kept], giving[kept:] + last]
