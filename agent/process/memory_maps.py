"""Memory maps of this process: each compiled graph takes hundreds, of which a Linux process may have 65,530.

TensorFlow never frees the code that XLA compiles, and dies in the middle of a compilation that gets no map. Therefore
the room is measured before. Imports only the standard library.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

_MAPS = Path("/proc/self/maps")
_LIMIT = Path("/proc/sys/vm/max_map_count")
# A compilation takes hundreds; other threads take some meanwhile.
_NEEDED_TO_COMPILE = 3_000


class MemoryMaps(NamedTuple):
    """How much of its table of memory maps a process uses.

    Attributes:
        number: Number of memory maps.
        limit: Maximum number of memory maps.
    """

    number: int
    limit: int

    @property
    def are_half_used(self) -> bool:
        """Whether more than half of the table is used."""
        return self.number > self.limit // 2


def memory_maps() -> MemoryMaps | None:
    """Return the memory maps of this process, or None if the system does not report them."""
    try:
        return MemoryMaps(_MAPS.read_bytes().count(b"\n"), int(_LIMIT.read_bytes()))
    except (OSError, ValueError):
        return None


def assert_room_to_compile() -> None:
    """Check that another graph can be compiled.

    Raises:
        MemoryError: If this process has too few memory maps left.
    """
    maps = memory_maps()
    if maps is not None and maps.limit - maps.number < _NEEDED_TO_COMPILE:
        raise MemoryError(
            f"this process has {maps.number:,} of at most {maps.limit:,} memory maps, which leaves too few to compile "
            "another graph. Compiled graphs stay mapped until the process ends: reuse agents with PPO.restart, or "
            "continue in another process."
        )
