"""The discrepancy against sums over pairs in float64, and what it is of known distributions."""

import math

import numpy as np
import pytest
import torch

from m4ser.systems.common.discrepancy import maximum_mean_discrepancy


def by_pairs(first, second):
    points = np.concatenate([first, second])
    width = np.mean([[np.sum((one - other) ** 2) for other in points] for one in points])

    def kernel(one, other):
        squared = np.sum((one - other) ** 2)
        return np.mean([math.exp(-squared / (factor * width)) for factor in (1 / 4, 1 / 2, 1, 2, 4)])

    count = len(first)
    total = sum(
        kernel(first[i], first[j])
        + kernel(second[i], second[j])
        - kernel(first[i], second[j])
        - kernel(first[j], second[i])
        for i in range(count)
        for j in range(count)
        if i != j
    )
    return total / (count * (count - 1))


def normal(seed, count, width=3, mean=0.0):
    return mean + torch.randn(count, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_it_is_a_mean_over_pairs():
    first, second = normal(0, 5), 0.5 * normal(1, 5, mean=1.0)
    expected = by_pairs(first.numpy(), second.numpy())
    assert maximum_mean_discrepancy(first, second).item() == pytest.approx(expected, rel=1e-12)
    assert maximum_mean_discrepancy(second, first).item() == pytest.approx(expected, rel=1e-12)


def test_one_distribution_has_none_and_two_have():
    same = [maximum_mean_discrepancy(normal(seed, 40), normal(seed + 1000, 40)).item() for seed in range(50)]
    assert abs(np.mean(same)) < 0.003 and min(same) < 0 < max(same)
    assert maximum_mean_discrepancy(normal(0, 40), normal(1, 40, mean=1.0)).item() > 0.1
    far = maximum_mean_discrepancy(torch.zeros(4, 2), torch.full((4, 2), 9.0)).item()
    assert far == pytest.approx(2 - 2 * np.mean([math.exp(-2 / factor) for factor in (1 / 4, 1 / 2, 1, 2, 4)]))


def test_scale_does_not_matter():
    first, second = normal(0, 6), normal(1, 6, mean=1.0)
    found = maximum_mean_discrepancy(100 * first, 100 * second)
    torch.testing.assert_close(found, maximum_mean_discrepancy(first, second))


@pytest.mark.parametrize("count", [1, 2])
def test_no_pairs_or_no_distance_are_zero_with_a_gradient(count):
    first, second = torch.ones(count, 3, requires_grad=True), torch.ones(count, 3, requires_grad=True)
    found = maximum_mean_discrepancy(first, second * 4 if count == 1 else second)
    found.backward()
    assert found.item() == 0 and not first.grad.any() and not second.grad.any()


def test_half_precision_is_computed_in_single():
    first, second = normal(0, 6).bfloat16(), normal(1, 6, mean=1.0).bfloat16()
    found = maximum_mean_discrepancy(first, second)
    torch.testing.assert_close(found, maximum_mean_discrepancy(first.float(), second.float()))
