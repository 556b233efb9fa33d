"""What a benchmark has to do, and how it shares its time."""

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
    """What the user chose, and the processes that entrants run in.

    Attributes:
        processes: Of the entrants.
        num_envs: Sizes of the batch; empty for each family's own.
        repeats: Most rounds, or runs of a whole command, at least 1.
        seeds: Most trainings until CartPole is solved, at least 1.
    """

    processes: Processes
    num_envs: tuple[int, ...] = ()
    repeats: int = 7
    seeds: int = 20


@dataclass(frozen=True)
class Task:
    """One thing to measure.

    Attributes:
        family: The family of cases it belongs to.
        name: What is measured.
        run: Takes the time when it should stop, by ``time.perf_counter``, and yields what was found.
        weight: Its share of the time, in relation to the other tasks'.
    """

    family: str
    name: str
    run: Callable[[float], Iterator[Measurement]]
    weight: float = 1.0


def tasks_of(cases: Iterable[Case], session: Session) -> list[Task]:
    """Return one task for each case."""
    return [Task(case.family, case.name, partial(measure, case, session.processes, session.repeats)) for case in cases]


def run_tasks(tasks: Sequence[Task], time_budget_s: float = math.inf) -> Iterator[Measurement]:
    """Run all tasks, each in its share of what is left of the time.

    What a task needs at least, it takes. What has not begun when the time is over is named and left out.

    Args:
        tasks: What to do.
        time_budget_s: Time for all of them in s.

    Yields:
        What they find.
    """
    end = time.perf_counter() + time_budget_s
    for index, task in enumerate(tasks):
        now = time.perf_counter()
        if now >= end:
            yield Skipped(task.family, task.name, 0, "all", "the time budget was spent before it began.")
            continue
        share = task.weight / sum(other.weight for other in tasks[index:])
        yield from task.run(now + (end - now) * share)
