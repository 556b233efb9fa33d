"""Checks that reject requests that cannot fit into memory before they are attempted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_GIBIBYTE = 2**30
# States, streams, spaces and the results of a step.
BYTES_PER_ENVIRONMENT = 150

# Where Linux lists a process's control groups, and where it mounts their limits.
_OWN_GROUPS = Path("/proc/self/cgroup")
_GROUPS = Path("/sys/fs/cgroup")


def physical_memory() -> int | None:
    """Return the machine's memory in bytes, or None if the system does not report it."""
    import psutil

    try:
        return int(psutil.virtual_memory().total)
    except (OSError, RuntimeError, ValueError):
        return None


def usable_memory() -> int | None:
    """Return the maximum memory this process may use, in bytes, or None if the system does not report it.

    This is the machine's memory or, in a container, the lowest limit of the process's control groups (version 1 or 2)
    and their parents.
    """
    limits = [*_limits_of_control_groups()]
    if (machine := physical_memory()) is not None:
        limits.append(machine)
    return min(limits, default=None)


def _limits_of_control_groups() -> Iterator[int]:
    """Yield the limits in bytes; a group without a limit reports ``max``, or a number beyond any memory."""
    for directory, name in _control_groups():
        # Inside a container, the path may be that of the host, of which only the root is visible.
        for group in (directory, *directory.parents):
            with suppress(OSError, ValueError):
                yield int((group / name).read_text(encoding="utf-8"))
            if group == _GROUPS:
                break


def _control_groups() -> Iterator[tuple[Path, str]]:
    """Yield the directory of each control group of this process, and the name of the file with its memory limit."""
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
    """Check that a request can fit into memory.

    Many systems grant any amount of memory, and kill a process that uses more than there is.

    Args:
        what: Description of the request, for the message.
        required: Lower bound of the memory it needs, in bytes.

    Raises:
        MemoryError: If the machine, or the container, has less memory.
    """
    available = usable_memory()
    if available is not None and required > available:
        place = "this machine has" if available == physical_memory() else "this container may use"
        raise MemoryError(
            # Integer division, because the request may exceed the range of floats.
            f"{what} would take at least {required // _GIBIBYTE:,} GiB of memory, and {place} "
            f"{available / _GIBIBYTE:.1f}."
        )
