"""The whole command, from the shell to the solved agent: wall-clock time and peak memory."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from bench.harness import Distribution, MeasurementError

_MIB = 2**20
# macOS counts in bytes, Linux in KiB.
_MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024
_MOST_FIRST_RUNS = 3


def measure(num_envs: Iterable[int], repeats: int) -> Iterator[Distribution]:
    """Run ``fastppo --help`` and ``fastppo train`` as a user would, in processes of their own.

    First runs have an empty directory for compiled kernels; the later ones find them there.

    Args:
        num_envs: Batch sizes to train with.
        repeats: Runs of each kind, at least 1; of the slow first runs at most 3.

    Yields:
        Durations in s, and peak resident memory in MiB.

    Raises:
        MeasurementError: If a run fails.
    """
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        helps = [run_command(["--help"], work, work)[0] for _ in range(repeats)]
        yield Distribution("fastppo --help", 1, "s", tuple(helps))
        for size in num_envs:
            yield from _measure_training(size, repeats, work)


def _measure_training(num_envs: int, repeats: int, directory: Path) -> Iterator[Distribution]:
    arguments = ["train", "--envs", str(num_envs)]
    command = f"fastppo {' '.join(arguments)}"
    caches = [directory / f"kernels-{num_envs}-{index}" for index in range(min(repeats, _MOST_FIRST_RUNS))]
    firsts = [run_command(arguments, directory, kernels)[0] for kernels in caches]
    yield Distribution(f"{command}, first run", num_envs, "s", tuple(firsts))
    durations, memories = zip(*(run_command(arguments, directory, caches[0]) for _ in range(repeats)), strict=True)
    yield Distribution(command, num_envs, "s", durations)
    yield Distribution(f"{command}, peak memory", num_envs, "MiB", memories)


def run_command(arguments: list[str], directory: Path, kernels: Path) -> tuple[float, float]:
    """Run ``fastppo`` as a user would.

    Args:
        arguments: Its arguments.
        directory: Where to run it.
        kernels: Where it finds and keeps compiled kernels.

    Returns:
        Its duration in s and its peak resident memory in MiB, NaN where the system does not tell it of one process.

    Raises:
        MeasurementError: If it fails.
    """
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(kernels)}
    with tempfile.TemporaryFile() as output:
        start = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-c", "from bench.cli import run; run()", *arguments],
            cwd=directory,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        memory = math.nan
        if hasattr(os, "wait4"):
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            memory = usage.ru_maxrss * _MAXRSS_UNIT / _MIB
        code = process.wait()
        duration = time.perf_counter() - start
        if code != 0:
            output.seek(0)
            raise MeasurementError(
                f"fastppo {' '.join(arguments)} failed: {output.read().decode(errors='replace').strip()}"
            )
    return duration, memory
