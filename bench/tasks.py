"""The tasks of a benchmark, and how they share its time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from bench.harness import Case, Processes, measure
from bench.results import Measurement, Skipped


@dataclass(frozen=True)
class Session:
    """The user's options, and the entrants' processes.

    Attributes:
        processes: Processes that the entrants run in.
        num_envs: Numbers of environments to measure with; empty for each family's default.
        repeats: Maximum number of rounds, or of runs of a whole command, at least 1.
        seeds: Maximum number of training runs in the family ``solve``, at least 1.
    """

    processes: Processes
    num_envs: tuple[int, ...] = ()
    repeats: int = 7
    seeds: int = 20


@dataclass(frozen=True)
class Task:
    """One thing to measure.

    Attributes:
        family: Family that the task belongs to.
        name: Name of the task.
        run: Function of the time at which to stop, by ``time.perf_counter``, that yields measurements.
        weight: Share of the time, relative to the weights of the other tasks.
    """

    family: str
    name: str
    run: Callable[[float], Iterator[Measurement]]
    weight: float = 1.0


def tasks_of(cases: Iterable[Case], session: Session) -> list[Task]:
    """Return one task for each case."""
    return [Task(case.family, case.name, partial(measure, case, session.processes, session.repeats)) for case in cases]


def run_tasks(tasks: Sequence[Task], time_budget_s: float = math.inf) -> Iterator[Measurement]:
    """Run all tasks, each within its share of the remaining time.

    A task may exceed its share to complete its minimum work. Tasks that have not started when the time is up are
    reported as skipped.

    Args:
        tasks: Tasks to run, in order.
        time_budget_s: Time for all tasks together in s.

    Yields:
        Measurements of the tasks, and one ``Skipped`` for each task that has not started in time.
    """
    end = time.perf_counter() + time_budget_s
    for index, task in enumerate(tasks):
        now = time.perf_counter()
        if now >= end:
            yield Skipped(task.family, task.name, 0, "all", "the time budget was spent before it began.")
            continue
        share = task.weight / sum(other.weight for other in tasks[index:])
        yield from task.run(now + (end - now) * share)
