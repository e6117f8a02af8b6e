"""D against its oracle, at the paper's width."""

import numpy as np
import pytest
import torch

from m4ser.training.discriminator import ModalityDiscriminator
from tests import oracles
from tests.tiny import randomize


def test_logits_against_the_oracle():
    discriminator = randomize(ModalityDiscriminator(24)).double()
    frames = torch.randn(2, 7, 24, dtype=torch.float64)
    expected = [oracles.discriminator(oracles.weights_of(discriminator), row.numpy()) for row in frames]
    np.testing.assert_allclose(discriminator(frames).sigmoid().detach().numpy(), expected, rtol=0, atol=1e-9)


def test_one_logit_per_frame():
    discriminator = randomize(ModalityDiscriminator(24))
    frames = torch.randn(3, 5, 24)
    torch.testing.assert_close(discriminator(frames)[1:2, :2], discriminator(frames[1:2, :2]), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("hidden_size", "width"), [(768, 192), (1024, 256), (2, 1)])
def test_width_is_a_quarter(hidden_size, width):
    discriminator = ModalityDiscriminator(hidden_size)
    assert sum(p.numel() for p in discriminator.parameters()) == (hidden_size + 1) * width + width + 1
