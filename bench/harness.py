"""How this package measures: entrants in turn, round after round, each in a process of its own."""

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

# Long against timer noise and the scheduler's time slices.
_REPETITION_S = 0.05
_LEAST_ROUNDS = 3
# Matrix libraries keep their threads spinning for some 25 ms after a call, on the cores the other side needs.
SETTLING_S = 0.1
"""Pause in s before each repetition, where matrix libraries with threads of their own take part."""


@dataclass(frozen=True)
class Entrant:
    """One way to do the work of a case.

    Attributes:
        name: What tables call it.
        side: Whether it is ours, a peer, or a limit of the machine.
        factory: Where its class is, as ``module:name``; see ``bench.host.Workload``.
        arguments: What the class is called with; they are pickled.
        process: Entrants of the same name share a process.
        packages: Packages it needs, for the hint where one is not installed.
        most_rounds: Rounds it takes part in; only the first few where it is very slow.
        why_not: Why it is left out, as a sentence; empty where it is not.
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
    """Work that several entrants do in turn.

    Attributes:
        family: The family of cases.
        name: What is done.
        num_envs: Size of the batch of environments.
        unit: Unit of the work.
        entrants: The first of ours is what the others are compared with.
        settling_s: Pause before each repetition in s.
        tolerance: How far the probes of two entrants may differ.
    """

    family: str
    name: str
    num_envs: int
    unit: str
    entrants: tuple[Entrant, ...]
    settling_s: float = 0.0
    tolerance: float = 0.0


class Processes:
    """The processes of entrants, started when they are first needed and kept until the end."""

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
            PeerError: If it is left out, a package it needs is not installed, or it cannot be started.
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
    """An entrant that is loaded, and its timing so far."""

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
        """Choose how often to do the work in one repetition."""
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
    """Measure the entrants of a case in turn, after each has been checked and has run once.

    The machine's speed drifts: neighbours in time share it, so that ratios within a round hold where times do not. An
    entrant that fails leaves the others alone.

    Args:
        case: What to measure.
        processes: Where the entrants run.
        repeats: Most rounds, at least 1.
        deadline: When to stop, by ``time.perf_counter``, though not before 3 rounds.

    Yields:
        What was found, and each entrant that could not be measured.

    Raises:
        WrongResultError: If ours computes something wrong.
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
    """Compare what the entrants computed in their first repetition, where they tell."""
    probes = {runner.entrant.name: runner.probe for runner in runners if runner.probe is not None}
    for (name, probe), (other_name, other) in zip(probes.items(), list(probes.items())[1:], strict=False):
        # Written so that a NaN is an error too.
        if not abs(probe - other) <= case.tolerance:
            raise WrongResultError(f"{case.name}: {name} computes {probe}, {other_name} {other}.")


def _skipped(case: Case, entrant: Entrant, error: Exception) -> Skipped:
    return Skipped(case.family, case.name, case.num_envs, entrant.name, str(error))
