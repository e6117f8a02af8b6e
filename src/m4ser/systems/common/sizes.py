"""Check the widths that a system's config has of its own."""

from m4ser.model.configuration_m4ser import EmotionConfig


def check_sizes(config: EmotionConfig, *names: str) -> None:
    """Refuse sizes that no layer can have.

    Raises:
        ValueError: one of these fields is no whole number above 0.
    """
    for name in names:
        size = getattr(config, name)
        if not isinstance(size, int) or size < 1:
            raise ValueError(f"{name} is a whole number above 0, not {size!r}.")


def check_attention_size(config: EmotionConfig, name: str, size: int) -> None:
    """Refuse a width of an attention that the config's heads do not divide.

    Raises:
        ValueError: naming the field that it comes from.
    """
    if size % config.num_attention_heads:
        raise ValueError(
            f"{name} makes an attention {size} wide, which must be a multiple of num_attention_heads "
            f"({config.num_attention_heads})."
        )
