"""Arrays that one process stores and another loads."""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest

from m4ser.inference.shared_memory import SharedMemory

ARRAYS = [np.arange(7, dtype=np.float32), np.ones((2, 3), np.uint8)[:, ::2], np.zeros((0, 4)), np.arange(3)[::-1]]
_memory = None


def give(memory):
    global _memory
    _memory = memory


def store(arrays):
    return _memory.store(arrays)


@pytest.mark.parametrize("size", [1024, 100, 1])
def test_arrays_arrive_whatever_finds_room(size):
    """Those that do not fit are copied."""
    spawn = get_context("spawn")
    memory = SharedMemory(spawn, size)
    with ProcessPoolExecutor(1, spawn, give, (memory,)) as pool:
        stored = pool.submit(store, ARRAYS).result()
    for found, expected in zip(memory.load(stored), ARRAYS, strict=True):
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
