"""Checks of the fields that the configs of systems add."""

from typing import Any


def check_at_least(config: Any, lowest: float, *names: str) -> None:
    """Refuse fields that are no numbers, or below `lowest`.

    Raises:
        ValueError: naming the first of them.
    """
    for name in names:
        value = getattr(config, name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not value >= lowest:
            raise ValueError(f"{name} is a number of at least {lowest:g}, not {value!r}.")


def check_counts(config: Any, *names: str) -> None:
    """Refuse fields that are no whole numbers, or below 1.

    Raises:
        ValueError: naming the first of them.
    """
    for name in names:
        value = getattr(config, name)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} is a whole number above 0, not {value!r}.")


def check_attention_size(config: Any, name: str, size: int) -> None:
    """Refuse a width of an attention that the config's heads do not divide.

    Raises:
        ValueError: naming the field that it comes from.
    """
    if size % config.num_attention_heads:
        raise ValueError(
            f"{name} makes an attention {size} wide, which must be a multiple of num_attention_heads "
            f"({config.num_attention_heads})."
        )
