"""The whole command from the shell to the solved agent, and the phases of its start: ``python -m bench.startup``."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from bench.process import MeasurementError, PeerError, PeerProcess
from bench.results import Distribution, Measurement, Skipped
from bench.tasks import Session, Task
from bench.workloads.start_up import PARTS

_MIB = 2**20
# macOS reports bytes, Linux KiB.
_MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024
_SIZES = (256,)


def tasks(session: Session) -> list[Task]:
    """Return the tasks: ``fastppo --help`` and ``fastppo train`` as users run them, and the phases of a start."""
    tasks = [Task("startup", "fastppo --help", partial(_measure_help, session.repeats))]
    for size in session.num_envs or _SIZES:
        tasks.append(Task("startup", "fastppo train", partial(_measure_training, size, session.repeats), weight=4.0))
        tasks.append(Task("startup", "parts of a start", partial(_measure_parts, size, session.repeats), weight=2.0))
    return tasks


def _measure_help(repeats: int, deadline: float) -> Iterator[Measurement]:
    with tempfile.TemporaryDirectory() as directory:
        durations = []
        for _ in range(repeats):
            durations.append(run_command(["--help"], Path(directory), Path(directory))[0])
            if time.perf_counter() >= deadline:
                break
    yield _figure("fastppo --help", 1, "s", durations)


def _measure_training(num_envs: int, repeats: int, deadline: float) -> Iterator[Measurement]:
    """Train with an empty kernel cache, then repeatedly with the kernels that the first run has cached."""
    arguments = ["train", "--envs", str(num_envs)]
    command = f"fastppo {' '.join(arguments)}"
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary)
        first, _ = run_command(arguments, directory, directory / "kernels")
        yield _figure(f"{command}, first run ever", num_envs, "s", [first])
        runs = []
        for _ in range(repeats):
            runs.append(run_command(arguments, directory, directory / "kernels"))
            if time.perf_counter() >= deadline:
                break
    yield _figure(command, num_envs, "s", [duration for duration, _ in runs])
    yield _figure(f"{command}, peak memory", num_envs, "MiB", [memory for _, memory in runs])


def _measure_parts(num_envs: int, repeats: int, deadline: float) -> Iterator[Measurement]:
    rows: list[list[float]] = []
    try:
        for _ in range(repeats):
            with PeerProcess("bench.workloads.start_up:StartUp") as process:
                rows.append(process.call("parts", num_envs))
            if time.perf_counter() >= deadline:
                break
    except PeerError as error:
        yield Skipped("startup", PARTS[0], num_envs, "fastppo", str(error))
    for part, durations in zip(PARTS, zip(*rows, strict=True), strict=False):
        yield _figure(part, num_envs, "s", durations)


def _figure(case: str, num_envs: int, unit: str, values: Sequence[float]) -> Distribution:
    return Distribution("startup", case, num_envs, unit, "fastppo", "ours", tuple(values))


def run_command(arguments: list[str], directory: Path, kernels: Path) -> tuple[float, float]:
    """Run ``fastppo`` as a user would.

    Args:
        arguments: Command-line arguments.
        directory: Working directory.
        kernels: Directory in which compiled kernels are cached.

    Returns:
        The duration in s and the peak resident memory in MiB; NaN if the system does not report the memory of a single
        process.

    Raises:
        MeasurementError: If the command fails.
    """
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(kernels)}
    with tempfile.TemporaryFile() as output:
        start = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-c", "from agent.cli import run; run()", *arguments],
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


if __name__ == "__main__":
    from bench.cli import run_family

    run_family("startup")
