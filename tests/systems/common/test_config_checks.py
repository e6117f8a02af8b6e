"""Fields of configs: numbers of at least something."""

from types import SimpleNamespace

import pytest

from m4ser.systems.common.config_checks import check_at_least


def test_numbers_that_are_large_enough_pass():
    check_at_least(SimpleNamespace(weight=0, width=0.5), 0, "weight", "width")


@pytest.mark.parametrize("value", [-0.1, float("nan"), "1", None, True])
def test_others_are_refused(value):
    with pytest.raises(ValueError, match="weight is a number of at least 0, not"):
        check_at_least(SimpleNamespace(width=1, weight=value), 0, "width", "weight")
