"""The fields of a system's config that arguments change: one that no config has is a mistake, not another field."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from transformers import PreTrainedConfig


def check_fields(config: PreTrainedConfig, fields: Mapping[str, Any]) -> None:
    """Refuse fields that a config of this kind does not have, those of the encoders' configs within it, too.

    Raises:
        ValueError: naming the field, and the nearest that there is.
    """
    _check(config, fields, "--config")
    for name, values in fields.items():
        nested = getattr(config, name, None)
        if isinstance(nested, PreTrainedConfig) and isinstance(values, Mapping):
            _check(nested, values, f"--config, {name}")


def _check(config: PreTrainedConfig, fields: Mapping[str, Any], where: str) -> None:
    known = dir(type(config)())  # a fresh one: whatever it is given becomes an attribute of a config
    for name in fields:
        if name not in known:
            nearest = get_close_matches(name, [field for field in known if not field.startswith("_")], n=1)
            hint = f"; did you mean {nearest[0]}?" if nearest else "."
            raise ValueError(f"{where}: {type(config).__name__} has no field {name}{hint}")
