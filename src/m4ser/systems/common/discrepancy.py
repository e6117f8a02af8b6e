"""How far two sets of vectors are from one distribution."""

import torch

# Gaussian kernels of several widths, multiples of the mean squared distance, spare the choice of one (Long et al.
# 2015, arXiv 1502.02791).
SCALES = (0.25, 0.5, 1.0, 2.0, 4.0)


def maximum_mean_discrepancy(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Estimate the squared MMD, without bias, of two vectors of each recording, both (B, d); a scalar.

    Gretton et al. 2012, "A kernel two-sample test", JMLR 13, lemma 6: the mean over the pairs of recordings i != j of
    k(x_i, x_j) + k(y_i, y_j) - k(x_i, y_j) - k(x_j, y_i). It is about 0 for one distribution, then negative half of
    the time, and at most 2; zero, with a gradient, for a batch of one.
    """
    points = torch.cat([first, second])
    points = points.to(torch.promote_types(points.dtype, torch.float32))
    distances = (points[:, None] - points).square().sum(-1)
    # The widths follow the vectors' scale, which then cannot lower the discrepancy.
    width = distances.detach().mean().clamp(min=1e-12)
    kernel = torch.stack([torch.exp(-distances / (scale * width)) for scale in SCALES]).mean(0)
    (within_first, across), (_, within_second) = (rows.chunk(2, dim=1) for rows in kernel.chunk(2))
    terms = within_first + within_second - across - across.T
    others = ~torch.eye(len(first), dtype=torch.bool, device=terms.device)
    return (terms * others).sum() / max(len(first) * (len(first) - 1), 1)
