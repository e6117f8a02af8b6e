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
