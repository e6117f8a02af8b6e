"""Means over all that a step sees, however it is spread over processes and accumulated batches.

A loss is a mean over what is valid in one batch on one process: recordings, tokens, frames or anchors. The mean of
such means is another number than the mean over all of them, wherever their counts differ. So each batch's loss is
scaled by its share of the whole count; what the processes then average and the batches add up is the mean over all.

The contrastive loss compares recordings with each other. Its embeddings are gathered from all processes, gradients
included, so that more processes give the loss of the larger batch. Accumulated batches do not: the embeddings of an
earlier batch are gone with its graph, and each is compared within its own batch only.
"""

import torch
from torch import distributed


def loss_scales(window, frame_lengths, accelerator):
    """The factor of each loss of each batch that makes their sum, averaged over processes, the mean over all.

    Args:
        window: the batches of one optimizer step on this process. frame_lengths: function from input_values and
            attention_mask to the frames of their rows (B,), or None where the network hears nothing.

    Returns:
        For each batch a dict of scalar tensors by the name of the loss.
    """
    counts = torch.stack([_counts(batch, frame_lengths) for batch in window])
    totals = accelerator.reduce(counts.sum(0), "sum")
    shares = accelerator.num_processes * counts / totals.clamp(min=1)
    anchors = torch.stack([_anchors(gather_rows(batch["labels"])) for batch in window])
    names = ("emotion", "error_detection", "error_correction", "discriminator", "generator")
    return [
        dict(zip(names, (*share, share[-1]), strict=True)) | {"contrastive": part, "spaces": share[0]}
        for share, part in zip(shares, anchors / anchors.sum().clamp(min=1), strict=True)
    ]


def _counts(batch, frame_lengths):
    """Recordings, tagged tokens, tokens of replacements, and frames of a batch: (4,)."""
    frames = batch["labels"].new_zeros(())
    if frame_lengths is not None:
        frames = frame_lengths(batch["input_values"], batch["attention_mask"]).sum()
    counts = (
        batch["labels"].new_tensor(len(batch["labels"])),
        (batch["aed_labels"] != -100).sum(),
        (batch["correction_ids"] != -100).sum(),
        frames,
    )
    return torch.stack([count.float() for count in counts])


def _anchors(labels):
    """How many of the recordings have another one of their emotion."""
    same = (labels[:, None] == labels).sum(-1)
    return (same > 1).sum().float()


def gather_rows(values):
    """The rows of all processes, (B, ...) with a B of its own each, in the same order everywhere, with gradients."""
    if not (distributed.is_available() and distributed.is_initialized()) or distributed.get_world_size() == 1:
        return values
    size = torch.tensor([len(values)], device=values.device)
    sizes = [torch.zeros_like(size) for _ in range(distributed.get_world_size())]
    distributed.all_gather(sizes, size)
    padding = values.new_zeros(int(max(sizes)) - len(values), *values.shape[1:])
    gathered = _AllGather.apply(torch.cat([values, padding]))
    return torch.cat([rows[: int(size)] for rows, size in zip(gathered, sizes, strict=True)])


class _AllGather(torch.autograd.Function):
    """All processes' values, stacked; what each of them asks of mine is added up (torch's own is deprecated)."""

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
