"""What a system's file says of its publication is checked when it is imported."""

import pytest

from m4ser.systems import PUBLICATIONS, SYSTEMS
from m4ser.systems.common.publication import Publication


def test_unknown_fidelity_is_refused():
    with pytest.raises(ValueError, match="one of A, B, C, not 'D'"):
        Publication("Somebody, 2025", "D")


def test_every_system_but_ours_has_a_publication():
    assert PUBLICATIONS.keys() == SYSTEMS.keys() - {"m4ser"}
