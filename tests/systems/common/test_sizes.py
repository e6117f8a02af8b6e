"""Widths of a system's own are checked when its config is made."""

from types import SimpleNamespace

import pytest

from m4ser.systems.common.sizes import check_attention_size, check_sizes


@pytest.mark.parametrize("size", [0, -3, 1.5, "8", None])
def test_no_size_is_refused(size):
    with pytest.raises(ValueError, match="width is a whole number above 0, not"):
        check_sizes(SimpleNamespace(depth=1, width=size), "depth", "width")


def test_heads_divide_an_attention():
    config = SimpleNamespace(num_attention_heads=4)
    check_attention_size(config, "width", 8)
    with pytest.raises(ValueError, match=r"width makes an attention 10 wide, .* num_attention_heads \(4\)"):
        check_attention_size(config, "width", 10)
