"""Memory that other processes write arrays into, so that they need not be copied on their way here."""

from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.context import BaseContext
from typing import Any

import numpy as np

ALIGNMENT = 64  # bytes, of a cache line


@dataclass(frozen=True)
class Stored:
    """Where an array lies in a [`SharedMemory`]."""

    offset: int
    shape: tuple[int, ...]
    dtype: str


class SharedMemory:
    """A number of bytes that are the same in this process and in those that are given them when they start.

    Args:
        context: of the processes. size: bytes.
    """

    def __init__(self, context: BaseContext, size: int):
        # In /dev/shm where that has room, which in a container may be little, else in a temporary file.
        self._bytes = context.RawArray("b", size)

    def store(self, arrays: list[np.ndarray]) -> list[Stored | np.ndarray]:
        """Write arrays one after the other; those that find no room are returned as they are."""
        memory, end, stored = np.frombuffer(self._bytes, np.uint8), 0, list[Stored | np.ndarray]()
        for array in arrays:
            if end + array.nbytes > len(memory):
                stored.append(array)
                continue
            memory[end : end + array.nbytes] = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
            stored.append(Stored(end, array.shape, array.dtype.str))
            end += -(-array.nbytes // ALIGNMENT) * ALIGNMENT
        return stored

    def load(self, stored: list[Any]) -> Iterator[np.ndarray]:
        """Yield the arrays, which change when others are stored."""
        for one in stored:
            if isinstance(one, np.ndarray):
                yield one
            else:
                count = int(np.prod(one.shape, dtype=np.int64))
                yield np.frombuffer(self._bytes, one.dtype, count, one.offset).reshape(one.shape)
