"""Description of the machine that a benchmark runs on."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
import time
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from fastcartpole.memory import physical_memory

_PACKAGES = (
    *("fastppo", "numpy", "numba", "gymnasium", "tensorflow", "keras"),
    *("jax", "gymnax", "optax", "envpool", "rlox", "stable_baselines3", "torch"),
)
_THREAD_SETTINGS = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "XLA_FLAGS")


def describe() -> dict[str, Any]:
    """Return processor, memory, system, threads, versions, commit and date as JSON-serializable values."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": _memory_gib(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "threads": {"NumPy's matrix products": _blas_threads(), **_set(_THREAD_SETTINGS)},
        "versions": _versions(),
        "commit": _commit(),
        "date": time.strftime("%Y-%m-%d"),
        "command": " ".join(["fastppo", *sys.argv[1:]]),
    }


def _processor() -> str:
    with suppress(OSError):
        names = re.findall(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
        if names:
            return str(names[0])
    return platform.processor() or platform.machine()


def _memory_gib() -> float | None:
    memory = physical_memory()
    return None if memory is None else round(memory / 2**30, 1)


def _blas_threads() -> str:
    settings = _set(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"))
    return next(iter(settings.values()), f"all {os.cpu_count()}")


def _set(names: tuple[str, ...]) -> dict[str, str]:
    return {name: os.environ[name] for name in names if name in os.environ}


def _versions() -> dict[str, str]:
    versions = {}
    for package in _PACKAGES:
        with suppress(PackageNotFoundError):
            versions[package] = version(package)
    return versions


def _commit() -> str | None:
    """Return the commit of the sources, marked "-dirty" if they have changed; None outside a repository."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=10", "--exclude=*"]
    with suppress(OSError, subprocess.CalledProcessError):
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    return None
