"""The other side of the harness: what runs in an entrant's process."""

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
    """What a case measures. Everything but ``run`` and ``work`` may be missing.

    Attributes:
        work: Units of work of one run.
        threads: How many threads it was given.
        probe: A figure of the first run that the other entrants' must agree with.
    """

    work: float

    def run(self) -> object:
        """Do the work, and return something that depends on all of it."""

    def check(self) -> None:
        """Compare what is computed with what should be.

        Raises:
            bench.process.WrongResultError: If it is something else.
        """

    def warm_up(self) -> None:
        """Run for the first time; where a whole run is too long for that."""


class Host:
    """The workloads of one process, by name."""

    def __init__(self) -> None:
        """Start with none."""
        self._workloads: dict[str, Any] = {}

    def load(
        self, name: str, factory: str, arguments: tuple[Any, ...]
    ) -> tuple[float, float, float, int, float | None]:
        """Make a workload, run it once, and check it.

        Args:
            name: How it is called from now on.
            factory: Where its class is, as ``module:name``.
            arguments: What the class is called with.

        Returns:
            Its work, the duration of its construction and first run in s, the peak resident memory of this process
            until then in MiB, its threads, and its probe.
        """
        workload_class = _class(factory)
        _forget_peak_memory()
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
        """Make any other object, to be asked.

        Args:
            name: How it is called from now on.
            factory: Where its class is, as ``module:name``.
            arguments: What the class is called with.
        """
        self._workloads[name] = _class(factory)(*arguments)

    def run(self, name: str, times: int) -> float:
        """Run a workload several times; return the duration in s."""
        run = self._workloads[name].run
        start = time.perf_counter()
        for _ in range(times):
            run()
        return time.perf_counter() - start

    def ask(self, name: str, method: str, *arguments: Any) -> Any:
        """Call a method of what is called ``name``; return what it returns."""
        return getattr(self._workloads[name], method)(*arguments)

    def drop(self, name: str) -> None:
        """Forget a workload."""
        del self._workloads[name]


def _class(factory: str) -> Any:
    module, name = factory.split(":")
    return getattr(importlib.import_module(module), name)


def peak_memory_mib() -> float:
    """Return the peak resident memory of this process in MiB, since it was last forgotten where the system can."""
    with suppress(OSError, AttributeError, TypeError):
        text = Path("/proc/self/status").read_text(encoding="utf-8")
        return int(re.search(r"VmHWM:\s+(\d+) kB", text)[1]) * 1024 / _MIB  # type: ignore[index]
    with suppress(ImportError):
        import resource

        # macOS counts in bytes, others in KiB.
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / _MIB
    return math.nan


def _forget_peak_memory() -> None:
    """Let the peak start anew, which only Linux can."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
