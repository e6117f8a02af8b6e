"""Means over all that a step sees, however it is spread over processes and accumulated batches.

A loss is a mean over what is valid in one batch on one process: recordings, tokens, frames or anchors. The mean of
such means is another number than the mean over all of them, wherever their counts differ. So each batch's loss is
scaled by its share of the whole count; what the processes then average and the batches add up is the mean over all.
The paper's sums (eq. 3, 7, 19 and 21) are that mean times the whole count; eq. 20 is an expectation, and stays a mean.

The contrastive loss compares recordings with each other. Its embeddings are gathered from all processes, gradients
included, so that more processes give the loss of the larger batch. Accumulated batches do not: the embeddings of an
earlier batch are gone with its graph, and each is compared within its own batch only.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, distributed

from m4ser.losses import OBJECTIVES, objective_of

Count = Callable[[Mapping[str, Any]], Tensor]


class LossScales:
    """The factor of each loss of each batch that makes their sum, averaged over processes, the mean over all.

    Args:
        window: the batches of one optimizer step on this process, with "frame_lengths" (B,) and "all_labels", the
            labels of all processes.
        reduction: "mean", or "sum" for the sum over all, of the losses that are sums in the paper.
    """

    def __init__(self, window: Sequence[Mapping[str, Any]], accelerator: Accelerator, reduction: str = "mean"):
        # One reduction for all counts; a system's own losses are means over recordings, which L_ER is, too.
        self._counts = list(dict.fromkeys(objective.count for objective in OBJECTIVES.values()))
        counts = torch.stack([torch.stack([count(batch).float() for count in self._counts]) for batch in window])
        self._totals = accelerator.reduce(counts.sum(0), "sum")
        self._shares = accelerator.num_processes * counts / self._totals.clamp(min=1)
        self._processes, self._reduction = accelerator.num_processes, reduction

    def scale(self, index: int, name: str) -> Tensor:
        """Return the factor, a scalar, of the loss `name` of batch number `index` of the window."""
        objective = objective_of(name)
        column = self._counts.index(objective.count)
        share = self._shares[index, column]
        if self._reduction == "mean" or objective.expectation:
            return share
        # What every process counts is in the total once for each of them.
        return share * self._totals[column] / (self._processes if objective.gathered else 1)


def gather_rows(values: Tensor) -> Tensor:
    """Return the rows of all processes, (B, ...) with a B of its own each, in one order everywhere, with gradients."""
    if not (distributed.is_available() and distributed.is_initialized()) or distributed.get_world_size() == 1:
        return values
    size = torch.tensor([len(values)], device=values.device)
    sizes = [torch.zeros_like(size) for _ in range(distributed.get_world_size())]
    distributed.all_gather(sizes, size)
    padding = values.new_zeros(int(max(sizes)) - len(values), *values.shape[1:])
    gathered = _AllGather.apply(torch.cat([values, padding]))
    return torch.cat([rows[: int(size)] for rows, size in zip(gathered, sizes, strict=True)])


class _AllGather(torch.autograd.Function):
    """All processes' values, stacked; the gradients that come back are added up (torch's own is deprecated)."""

    @staticmethod
    def forward(_, values):
        gathered = [torch.empty_like(values) for _ in range(distributed.get_world_size())]
        distributed.all_gather(gathered, values)
        return torch.stack(gathered)

    @staticmethod
    def backward(_, gradient):
        gradient = gradient.contiguous()
        distributed.all_reduce(gradient)
        return gradient[distributed.get_rank()]
