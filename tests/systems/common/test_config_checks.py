"""Fields of configs: numbers of at least something, and counts."""

from types import SimpleNamespace

import pytest

from m4ser.systems.common.config_checks import check_at_least, check_attention_size, check_counts


def test_numbers_that_are_large_enough_pass():
    check_at_least(SimpleNamespace(weight=0, width=0.5), 0, "weight", "width")


@pytest.mark.parametrize("value", [-0.1, float("nan"), "1", None, True])
def test_others_are_refused(value):
    with pytest.raises(ValueError, match="weight is a number of at least 0, not"):
        check_at_least(SimpleNamespace(width=1, weight=value), 0, "width", "weight")


@pytest.mark.parametrize("value", [0, 2.0, "2", None, True])
def test_counts_are_whole(value):
    check_counts(SimpleNamespace(layers=1, steps=3), "layers", "steps")
    with pytest.raises(ValueError, match="steps is a whole number above 0, not"):
        check_counts(SimpleNamespace(layers=1, steps=value), "layers", "steps")


def test_heads_divide_an_attention():
    config = SimpleNamespace(num_attention_heads=4)
    check_attention_size(config, "width", 8)
    with pytest.raises(ValueError, match=r"width makes an attention 10 wide, .* num_attention_heads \(4\)"):
        check_attention_size(config, "width", 10)
