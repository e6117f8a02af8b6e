"""Losses between spaces against plain loops over features and recordings, and on values worked out by hand."""

import math

import numpy as np
import pytest
import torch

from m4ser.systems.common.space_losses import central_moment_discrepancy, orthogonality


@pytest.fixture
def spaces():
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(5, width, generator=generator, dtype=torch.float64, requires_grad=True) for width in (3, 3, 4)]


def moment(column, order):
    """The mean of a list of numbers, or its central moment of order 2 and more."""
    mean = math.fsum(column) / len(column)
    return mean if order == 1 else math.fsum((value - mean) ** order for value in column) / len(column)


@pytest.mark.parametrize("moments", [1, 2, 5])
def test_discrepancy_by_loops(spaces, moments):
    first, second = (space.detach().numpy().T.tolist() for space in spaces[:2])
    distances = []
    for order in range(1, moments + 1):
        squares = [(moment(a, order) - moment(b, order)) ** 2 for a, b in zip(first, second, strict=True)]
        distances.append(math.sqrt(math.fsum(squares)))
    found = central_moment_discrepancy(*spaces[:2], moments=moments)
    assert found.item() == pytest.approx(sum(distances), rel=1e-12)


def test_discrepancy_by_hand():
    """Means 1 and 1; variances 1 and 4; third moments 0; fourth 1 and 16."""
    first, second = torch.tensor([[0.0], [2.0]]), torch.tensor([[-1.0], [3.0]])
    assert central_moment_discrepancy(first, second, moments=4).item() == pytest.approx(3 + 15)


def test_equal_spaces_have_no_discrepancy_and_a_finite_gradient(spaces):
    space = spaces[0]
    loss = central_moment_discrepancy(space, space.flip(0))
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-12) and space.grad.isfinite().all()


def test_orthogonality_by_loops(spaces):
    first, second = (space.detach().numpy() for space in spaces[1:])
    units = []
    for space in (first, second):
        centered = [[value - np.mean(column) for value in column] for column in space.T]
        rows = list(zip(*centered, strict=True))
        units.append([[value / (math.hypot(*row) + 1e-6) for value in row] for row in rows])
    squares = [
        sum(row[left] * other[right] for row, other in zip(*units, strict=True)) ** 2
        for left in range(3)
        for right in range(4)
    ]
    assert orthogonality(*spaces[1:]).item() == pytest.approx(np.mean(squares), rel=1e-12)


def test_features_that_never_vary_together_are_orthogonal():
    """Of four recordings, one space varies in the first two, the other in the last two."""
    first = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    assert orthogonality(first, first.flip(0)).item() == 0
    assert orthogonality(first, first).item() == pytest.approx(2.0**2 / 4, rel=1e-5)


def test_lengths_carry_no_gradient(spaces):
    """A longer vector counts as much, so that the gradient along it would be 0 if it flowed through the length."""
    space = spaces[0]
    orthogonality(space, space.detach()).backward()
    centered = space.detach() - space.detach().mean(0)
    along = (space.grad * centered).sum()
    # The loss is of degree 2 in both arguments together, 2 in the one that moves.
    assert along.item() == pytest.approx(2 * orthogonality(space, space).item(), rel=1e-12)


@pytest.mark.parametrize("loss", [central_moment_discrepancy, orthogonality])
def test_one_recording_has_no_loss_but_a_gradient(loss):
    first, second = (torch.rand(1, 4, requires_grad=True) for _ in range(2))
    value = loss(first, second)
    value.backward()
    assert value.item() == 0 and not first.grad.any() and not second.grad.any()


@pytest.mark.parametrize("loss", [central_moment_discrepancy, orthogonality])
def test_half_precision_is_computed_in_full(loss):
    first, second = (torch.rand(6, 4).to(torch.bfloat16) for _ in range(2))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = loss(first, second)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, loss(first.float(), second.float()))
