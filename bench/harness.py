"""The measuring harness: entrants run alternately, round after round, each in its own process."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any

from bench.process import PeerError, PeerProcess, WrongResultError
from bench.results import CaseResult, Measurement, Side, Skipped, Timing

# Long compared with timer noise and the scheduler's time slices.
_REPETITION_S = 0.05
_LEAST_ROUNDS = 3
# Matrix libraries keep their threads spinning for about 25 ms after a call, on cores that the next entrant needs.
SETTLING_S = 0.1
"""Pause in s before each repetition of cases in which matrix libraries with their own threads take part."""


@dataclass(frozen=True)
class Entrant:
    """One way to do the work of a case.

    Attributes:
        name: Name of the entrant in tables.
        side: ``"ours"`` for fastppo, ``"peer"``, or ``"limit"`` for a limit of the machine.
        factory: Class of its workload, as ``module:name``; see ``bench.host.Workload``.
        arguments: Arguments of the class; they are pickled.
        process: Name of its process; entrants with the same process name share it.
        packages: Packages that it needs; named in the hint if one is not installed.
        most_rounds: Maximum number of rounds that it takes part in; small for very slow entrants.
        why_not: Sentence that explains why it is not measured; empty if it is.
    """

    name: str
    side: Side
    factory: str
    arguments: tuple[Any, ...]
    process: str
    packages: tuple[str, ...] = ()
    most_rounds: int = 1_000_000
    why_not: str = ""


@dataclass(frozen=True)
class Case:
    """Work that several entrants do alternately.

    Attributes:
        family: Family that the case belongs to.
        name: Name of the case.
        num_envs: Number of environments.
        unit: Unit of the work.
        entrants: Entrants; the others are compared with the first one whose side is ``"ours"``.
        settling_s: Pause before each repetition in s.
        tolerance: Largest allowed difference between the probes of two entrants.
    """

    family: str
    name: str
    num_envs: int
    unit: str
    entrants: tuple[Entrant, ...]
    settling_s: float = 0.0
    tolerance: float = 0.0


class Processes:
    """The entrants' processes, started when they are first needed and kept until the end."""

    def __init__(self) -> None:
        self._processes: dict[str, PeerProcess] = {}

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes.values():
            process.close()

    def of(self, entrant: Entrant) -> PeerProcess:
        """Return the running process of an entrant, with a ``bench.host.Host`` in it.

        Raises:
            PeerError: If the entrant is not to be measured, a package that it needs is not installed, or its process
                cannot be started.
        """
        if entrant.why_not:
            raise PeerError(entrant.why_not)
        missing = [package for package in entrant.packages if find_spec(package) is None]
        if missing:
            raise PeerError(f"{' and '.join(missing)} not installed: pip install 'fastppo[bench-peers]'.")
        process = self._processes.get(entrant.process)
        if process is None or not process.is_running:
            process = self._processes[entrant.process] = PeerProcess("bench.host:Host")
        return process


@dataclass
class _Runner:
    """A loaded entrant and its timings so far."""

    entrant: Entrant
    process: PeerProcess
    work: float
    first_call_s: float
    peak_memory_mib: float
    threads: int
    probe: float | None
    times: int = 1
    durations: tuple[float, ...] = ()

    def repeat(self, settling_s: float) -> None:
        time.sleep(settling_s)
        self.durations += (self.process.call("run", self.entrant.name, self.times),)

    def calibrate(self) -> None:
        """Choose how many times one repetition does the work."""
        if self.entrant.most_rounds > 1:
            duration = self.process.call("run", self.entrant.name, 1)
            self.times = max(1, math.ceil(_REPETITION_S / duration))

    def timing(self) -> Timing:
        return Timing(
            self.entrant.name,
            self.entrant.side,
            self.work * self.times,
            self.durations,
            self.first_call_s,
            self.peak_memory_mib,
            self.threads,
        )


def measure(case: Case, processes: Processes, repeats: int, deadline: float = math.inf) -> Iterator[Measurement]:
    """Measure the entrants of a case alternately, after each has run once and has been checked.

    The speed of a machine drifts. Repetitions that follow one another see about the same speed, so ratios within a
    round are reliable even if absolute times are not. An entrant that fails does not affect the others.

    Args:
        case: Case to measure.
        processes: Processes that the entrants run in.
        repeats: Maximum number of rounds, at least 1.
        deadline: Time at which to stop, by ``time.perf_counter``, but not before 3 rounds.

    Yields:
        The result of the case, and one ``Skipped`` for each entrant that could not be measured.

    Raises:
        WrongResultError: If fastppo computes wrong results, or the entrants' results differ.
    """
    failures: list[Skipped] = []

    def attempt(runner: _Runner, action: Callable[[], None]) -> bool:
        try:
            action()
        except PeerError as error:
            failures.append(_skipped(case, runner.entrant, error))
            return False
        return True

    runners = []
    for entrant in case.entrants:
        try:
            runners.append(_loaded(entrant, processes))
        except WrongResultError as error:
            if entrant.side == "ours":
                raise
            failures.append(_skipped(case, entrant, error))
        except PeerError as error:
            failures.append(_skipped(case, entrant, error))
    _check_agreement(case, runners)
    runners = [runner for runner in runners if attempt(runner, runner.calibrate)]
    for number in range(repeats):
        if number >= _LEAST_ROUNDS and time.perf_counter() >= deadline:
            break
        runners = [
            runner
            for runner in runners
            if number >= runner.entrant.most_rounds or attempt(runner, partial(runner.repeat, case.settling_s))
        ]
    for runner in runners:
        runner.process.call("drop", runner.entrant.name)
    if runners:
        timings = tuple(runner.timing() for runner in runners)
        yield CaseResult(case.family, case.name, case.num_envs, case.unit, timings)
    yield from failures


def _loaded(entrant: Entrant, processes: Processes) -> _Runner:
    process = processes.of(entrant)
    work, first_call_s, memory, threads, probe = process.call("load", entrant.name, entrant.factory, entrant.arguments)
    return _Runner(entrant, process, work, first_call_s, memory, threads, probe)


def _check_agreement(case: Case, runners: Iterable[_Runner]) -> None:
    """Compare the probes of the entrants' first repetitions; entrants without a probe are not compared."""
    probes = {runner.entrant.name: runner.probe for runner in runners if runner.probe is not None}
    for (name, probe), (other_name, other) in zip(probes.items(), list(probes.items())[1:], strict=False):
        # The condition is negated so that a NaN is an error too.
        if not abs(probe - other) <= case.tolerance:
            raise WrongResultError(f"{case.name}: {name} computes {probe}, {other_name} {other}.")


def _skipped(case: Case, entrant: Entrant, error: Exception) -> Skipped:
    return Skipped(case.family, case.name, case.num_envs, entrant.name, str(error))
