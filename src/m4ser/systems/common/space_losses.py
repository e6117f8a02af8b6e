"""Losses between spaces: each compares two sets of vectors, (B, d), one of a recording in either, over the batch.

A batch of one recording has no spread to compare: its losses are zero, with a gradient.
"""

import torch
from torch import Tensor


def central_moment_discrepancy(first: Tensor, second: Tensor, moments: int = 5) -> Tensor:
    """Compute CMD: how far the batch's mean and central moments, feature by feature, differ between two spaces.

    Zellinger et al., ICLR 2017, without their division by powers of the interval's width, which is 1 after a sigmoid.

    Args:
        first, second: (B, d). moments: the highest order, 1 for the means alone.

    Returns:
        A scalar: the sum over the orders of the Euclidean distance between both spaces' moments.
    """
    first, second = _full_precision(first), _full_precision(second)
    if len(first) < 2:
        return 0.0 * (first.sum() + second.sum())
    mean, other_mean = first.mean(0), second.mean(0)
    differences = [mean - other_mean]
    for order in range(2, moments + 1):
        differences.append(((first - mean) ** order).mean(0) - ((second - other_mean) ** order).mean(0))
    # Of two equal moments, vector_norm has the gradient 0, where a square root has none.
    return torch.stack([torch.linalg.vector_norm(difference) for difference in differences]).sum()


def orthogonality(first: Tensor, second: Tensor) -> Tensor:
    """Compute the mean squared correlation of every feature of one space (B, d) with every one of another (B, e).

    Salzmann et al., AISTATS 2010, and Bousmalis et al., NeurIPS 2016. Features are centered over the batch, then each
    recording's vector is scaled to length 1; no gradient flows through that length.
    """
    with torch.autocast(first.device.type, enabled=False):  # mixed precision would multiply in half
        return (_unit_rows(first).T @ _unit_rows(second)).square().mean()


def _unit_rows(vectors: Tensor) -> Tensor:
    centered = _full_precision(vectors)
    centered = centered - centered.mean(0)
    lengths = torch.linalg.vector_norm(centered, dim=1, keepdim=True).detach()
    return centered / (lengths + 1e-6)


def _full_precision(values: Tensor) -> Tensor:
    return values.to(torch.promote_types(values.dtype, torch.float32))
