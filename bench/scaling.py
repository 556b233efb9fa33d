"""How the cost of a step scales with the numbers of environments and threads: ``python -m bench.scaling``."""

from __future__ import annotations

import os

from bench.harness import Case, Entrant
from bench.tasks import Session, Task, tasks_of

_SIZES = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1_000_000)
_THREADED_ENVS = 65536


def tasks(session: Session) -> list[Task]:
    """Return the tasks: steps and rollouts of up to a million environments, and rollouts on 1 to all threads."""
    cases = [_case_of_size(size) for size in session.num_envs or _SIZES]
    cases.append(_case_of_threads())
    return tasks_of(cases, session)


def _case_of_size(num_envs: int) -> Case:
    rollout = "bench.workloads.stepping:OurRollouts"
    entrants = (
        *(
            Entrant(
                f"step, {precision}", "ours", "bench.workloads.stepping:OurSteps", (num_envs, precision), "fastcartpole"
            )
            for precision in ("exact", "fast")
        ),
        *(
            Entrant(f"rollout in one call, {precision}", "ours", rollout, (num_envs, precision), "fastcartpole")
            for precision in ("exact", "fast")
        ),
        Entrant(
            "Gymnasium CartPoleVectorEnv",
            "peer",
            "bench.workloads.stepping:GymnasiumSteps",
            (num_envs, "vector_entry_point"),
            "gymnasium",
        ),
    )
    return Case("scaling", "size of the batch", num_envs, "steps", entrants)


def _case_of_threads() -> Case:
    entrants = tuple(
        Entrant(
            f"{precision}, {threads} thread{'s' if threads > 1 else ''}",
            "ours",
            "bench.workloads.stepping:OurRollouts",
            (_THREADED_ENVS, precision, threads),
            "fastcartpole",
        )
        for precision in ("exact", "fast")
        for threads in range(1, (os.cpu_count() or 1) + 1)
    )
    return Case("scaling", "threads of a rollout", _THREADED_ENVS, "steps", entrants)


if __name__ == "__main__":
    from bench.cli import run_family

    run_family("scaling")
