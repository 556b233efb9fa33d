"""Processes whose memory maps are used up, as many compiled graphs would."""

import ctypes
import mmap
import os
from multiprocessing import parent_process
from pathlib import Path

import gymnasium
import pytest
from probes import Probe

from agent.process.memory_maps import memory_maps

needs_memory_maps = pytest.mark.skipif(memory_maps() is None, reason="the system reports no memory maps")

_NO_ACCESS, _READABLE = 0, 1
_PRIVATE, _ANONYMOUS = 2, 32


def use_up_memory_maps(left):
    """Use all memory maps of this process, for as long as it lives, except for the number that is to be left."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    maps = memory_maps()
    number = max(0, maps.limit - maps.number - left)
    start = libc.mmap(None, (number + 2) * mmap.PAGESIZE, _NO_ACCESS, _PRIVATE | _ANONYMOUS, -1, 0)
    # Neighbouring pages with different protection cannot share a map.
    for page in range(1, number, 2):
        assert libc.mprotect(start + page * mmap.PAGESIZE, mmap.PAGESIZE, _READABLE) == 0


class Filling(Probe):
    """An environment that uses 60% of a worker's memory maps, and writes the worker's process id to a file."""

    def __init__(self, notes):
        super().__init__(8, truncates=True)
        if parent_process() is not None:
            use_up_memory_maps(int(0.4 * memory_maps().limit))
            with Path(notes).open("a") as file:
                print(os.getpid(), file=file)


gymnasium.register("Filling-v0", Filling)
