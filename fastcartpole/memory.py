"""What cannot fit the memory is refused before it is tried."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_GIBIBYTE = 2**30
# States, streams, spaces and the results of a step.
BYTES_PER_ENVIRONMENT = 150

# Where Linux tells which control groups a process is in, and what they may use.
_OWN_GROUPS = Path("/proc/self/cgroup")
_GROUPS = Path("/sys/fs/cgroup")


def physical_memory() -> int | None:
    """Return the machine's memory in bytes, or None where the system does not tell."""
    import psutil

    try:
        return int(psutil.virtual_memory().total)
    except (OSError, RuntimeError, ValueError):
        return None


def usable_memory() -> int | None:
    """Return how much memory this process may use at most, in bytes; None where the system does not tell.

    It is the machine's, or less in a container: the lowest limit of the process's control groups, of version 1 or 2,
    and of those around them.
    """
    limits = [*_limits_of_control_groups()]
    if (machine := physical_memory()) is not None:
        limits.append(machine)
    return min(limits, default=None)


def _limits_of_control_groups() -> Iterator[int]:
    """Yield the limits in bytes; a group without one says ``max``, or a number beyond any memory."""
    for directory, name in _control_groups():
        # Within a container, the path may be that of the machine outside, of which only the root is to be seen.
        for group in (directory, *directory.parents):
            with suppress(OSError, ValueError):
                yield int((group / name).read_text(encoding="utf-8"))
            if group == _GROUPS:
                break


def _control_groups() -> Iterator[tuple[Path, str]]:
    """Yield the directories of this process's control groups, and the file that holds the limit of the memory."""
    try:
        lines = _OWN_GROUPS.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            yield _GROUPS / path.lstrip("/"), "memory.max"
        elif "memory" in controllers.split(","):
            yield _GROUPS / "memory" / path.lstrip("/"), "memory.limit_in_bytes"


def assert_fits_memory(what: str, required: int) -> None:
    """Check that something may fit: many systems promise any memory and end a process that uses what is not there.

    Args:
        what: What needs it, for the message.
        required: Least memory it takes, in bytes.

    Raises:
        MemoryError: If the machine, or the container, has less.
    """
    available = usable_memory()
    if available is not None and required > available:
        place = "this machine has" if available == physical_memory() else "this container may use"
        raise MemoryError(
            # Divided as integers: what was asked for may be beyond the range of floats.
            f"{what} would take at least {required // _GIBIBYTE:,} GiB of memory, and {place} "
            f"{available / _GIBIBYTE:.1f}."
        )
