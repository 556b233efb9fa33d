"""The part of the harness that runs in an entrant's process."""

from __future__ import annotations

import importlib
import math
import re
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

_MIB = 2**20


class Workload(Protocol):
    """The work of one entrant. Only ``run`` and ``work`` are required.

    Attributes:
        work: Units of work in one run.
        threads: Number of threads it was given.
        probe: A figure computed in the first run, on which all entrants of a case must agree.
    """

    work: float

    def run(self) -> object:
        """Do the work, and return something that depends on all of it."""

    def check(self) -> None:
        """Check the results.

        Raises:
            bench.process.WrongResultError: If the results are wrong.
        """

    def warm_up(self) -> None:
        """Run for the first time; defined if a whole run would take too long for this."""


class Host:
    """The workloads and other objects of one process, by name."""

    def __init__(self) -> None:
        """Start without any workloads."""
        self._workloads: dict[str, Any] = {}

    def load(
        self, name: str, factory: str, arguments: tuple[Any, ...]
    ) -> tuple[float, float, float, int, float | None]:
        """Create a workload, run it once, and check it.

        Args:
            name: Name that refers to it in later calls.
            factory: Class of the workload, as ``module:name``.
            arguments: Arguments of the class.

        Returns:
            Units of work per run, the duration of construction and first run in s, the peak resident memory of this
            process up to that point in MiB, the number of threads, and the probe.
        """
        workload_class = _class(factory)
        _reset_peak_memory()
        start = time.perf_counter()
        workload = workload_class(*arguments)
        getattr(workload, "warm_up", workload.run)()
        first_call_s = time.perf_counter() - start
        memory = peak_memory_mib()
        if hasattr(workload, "check"):
            workload.check()
        self._workloads[name] = workload
        return workload.work, first_call_s, memory, getattr(workload, "threads", 0), getattr(workload, "probe", None)

    def make(self, name: str, factory: str, arguments: tuple[Any, ...]) -> None:
        """Create any other object, for calls of ``ask``.

        Args:
            name: Name that refers to it in later calls.
            factory: Class of the object, as ``module:name``.
            arguments: Arguments of the class.
        """
        self._workloads[name] = _class(factory)(*arguments)

    def run(self, name: str, times: int) -> float:
        """Run a workload several times, and return the total duration in s."""
        run = self._workloads[name].run
        start = time.perf_counter()
        for _ in range(times):
            run()
        return time.perf_counter() - start

    def ask(self, name: str, method: str, *arguments: Any) -> Any:
        """Call a method of the object ``name``, and return its result."""
        return getattr(self._workloads[name], method)(*arguments)

    def drop(self, name: str) -> None:
        """Delete a workload or object."""
        del self._workloads[name]


def _class(factory: str) -> Any:
    module, name = factory.split(":")
    return getattr(importlib.import_module(module), name)


def peak_memory_mib() -> float:
    """Return the peak resident memory of this process in MiB; on Linux, since the peak was last reset."""
    with suppress(OSError, AttributeError, TypeError):
        text = Path("/proc/self/status").read_text(encoding="utf-8")
        return int(re.search(r"VmHWM:\s+(\d+) kB", text)[1]) * 1024 / _MIB  # type: ignore[index]
    with suppress(ImportError):
        import resource

        # macOS reports bytes, other systems KiB.
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / _MIB
    return math.nan


def _reset_peak_memory() -> None:
    """Reset the peak resident memory, which only Linux supports."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
