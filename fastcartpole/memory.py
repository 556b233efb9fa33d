"""What cannot fit the machine's memory is refused before it is tried."""

from __future__ import annotations

import os

_GIBIBYTE = 2**30
# States, streams, spaces and the results of a step.
BYTES_PER_ENVIRONMENT = 150


def physical_memory() -> int | None:
    """Return the machine's memory in bytes, or None where the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None


def assert_fits_memory(what: str, required: int) -> None:
    """Check that something may fit: many systems promise any memory and end a process that uses what is not there.

    Args:
        what: What needs it, for the message.
        required: Least memory it takes, in bytes.

    Raises:
        MemoryError: If the machine has less.
    """
    available = physical_memory()
    if available is not None and required > available:
        raise MemoryError(
            f"{what} would take at least {required // _GIBIBYTE:,} GiB of memory, and this machine has "
            f"{available / _GIBIBYTE:.1f}."
        )
