"""Checkpoints that outlive a kill at any moment: whole or not there, and checked before anything is read from them.

    checkpoints/step-00000120/state.safetensors   every tensor, by name
                              state.json          every other value, and the SHA-256 of both

Neither file can hold code.
"""

import hashlib
import json
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from m4ser.data.schema import DataError
from m4ser.files import file_digest, weights_written_to
from m4ser.model.saving_m4ser import flush, share

TENSORS, VALUES = "state.safetensors", "state.json"


def write_checkpoint(
    folder: Path, step: int, tensors: Mapping[str, torch.Tensor], values: Mapping[str, Any], keep: int
) -> None:
    """Write one checkpoint and remove all but the newest `keep`.

    Args:
        folder: of all checkpoints of a run. tensors: by name. values: all that JSON can hold.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"step-{step:08d}"
    unfinished = folder / f".{target.name}"
    for left in folder.glob(".step-*"):  # by a kill, or where there was no room
        shutil.rmtree(left)
    unfinished.mkdir()
    with weights_written_to(unfinished):
        save_file(
            {name: tensor.detach().to("cpu", copy=True) for name, tensor in tensors.items()}, unfinished / TENSORS
        )
    digests = {"sha256": file_digest(unfinished / TENSORS), "values_sha256": _digest(values)}
    content = {**digests, "values": values}
    (unfinished / VALUES).write_text(json.dumps(content))
    share(unfinished / TENSORS)
    for path in (unfinished / TENSORS, unfinished / VALUES, unfinished):
        flush(path)
    shutil.rmtree(target, ignore_errors=True)
    unfinished.rename(target)
    flush(folder)
    for old in _checkpoints(folder)[keep:]:
        shutil.rmtree(old)


def read_checkpoint(folder: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
    """Read the tensors and values of the newest checkpoint that is whole; None where there is no checkpoint.

    A damaged one is named in a warning, and the one before it is taken.

    Raises:
        DataError: none of them is whole, so that to begin anew is the user's to decide.
    """
    found = _checkpoints(folder)
    for path in found:
        try:
            content = json.loads((path / VALUES).read_text())
            damaged = _damaged(path, content)
            if damaged is None:
                return load_file(path / TENSORS), content["values"]
            reason = f"{damaged} is not what was written"
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            reason = str(error)
        warnings.warn(f"{path} is damaged ({reason}); going on from the checkpoint before it.", stacklevel=2)
    if found:
        raise DataError(f"No checkpoint in {folder} is whole; begin anew with --overwrite true instead of --resume.")
    return None


def _damaged(path: Path, content: Mapping[str, Any]) -> str | None:
    """Return the file of a checkpoint that is not what was written."""
    if file_digest(path / TENSORS) != content["sha256"]:
        return TENSORS
    # An earlier version wrote exactly these, without a digest of the values.
    if content.keys() != {"sha256", "values"} and content["values_sha256"] != _digest(content["values"]):
        return VALUES
    return None


def _digest(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()


def _checkpoints(folder: Path) -> list[Path]:
    """Newest first."""
    return sorted(Path(folder).glob("step-*"), reverse=True)
