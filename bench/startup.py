"""The whole command, from the shell to the solved agent: wall-clock time and peak memory."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.harness import Distribution, MeasurementError

_MIB = 2**20
# macOS counts in bytes, Linux in KiB.
_MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024
_MOST_FIRST_RUNS = 3


def measure(num_envs: int, repeats: int) -> Iterator[Distribution]:
    """Run ``fastppo --help`` and ``fastppo train`` as a user would, in processes of their own.

    First runs have an empty directory for compiled kernels; the later ones find them there.

    Args:
        num_envs: Size of the batch.
        repeats: Runs of each kind, at least 1; of the slow first runs at most 3.

    Yields:
        Durations in s, and peak resident memory in MiB.

    Raises:
        MeasurementError: If a run fails.
    """
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        helps = [run_command(["--help"], work, work / "kernels")[0] for _ in range(repeats)]
        yield Distribution("fastppo --help", num_envs, "s", tuple(helps))
        train = ["train", "--envs", str(num_envs)]
        firsts = [
            run_command(train, work, work / f"kernels-{index}")[0] for index in range(min(repeats, _MOST_FIRST_RUNS))
        ]
        yield Distribution(f"fastppo {' '.join(train)}, first run", num_envs, "s", tuple(firsts))
        warm = [run_command(train, work, work / "kernels-0") for _ in range(repeats)]
        yield Distribution(f"fastppo {' '.join(train)}", num_envs, "s", tuple(duration for duration, _ in warm))
        yield Distribution("its peak memory", num_envs, "MiB", tuple(memory for _, memory in warm))


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
