"""Training time and steps until CartPole-v1 is solved, over seeds: ``python -m bench.solve``."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from functools import partial

from bench.harness import Entrant, Processes
from bench.process import PeerError
from bench.results import Distribution, Measurement, Skipped
from bench.tasks import Session, Task

_SIZES = (4, 8, 64, 256, 1024)
# Description and unit of each reported figure. Peers report only the first two.
FIGURES = (
    ("time to a policy with mean return 475", "s"),
    ("steps to a policy with mean return 475", "steps"),
    ("time until the training stopped itself", "s"),
    ("steps until the training stopped itself", "steps"),
    ("mean return in Gymnasium, 100 episodes", ""),
)
# Entrants that need seconds per training run do a quarter of the runs.
_SLOW_DIVISOR = 4


def tasks(session: Session) -> list[Task]:
    """Return the tasks: training with preset ``fast`` at each batch size, with preset ``keras``, and by the peers."""
    few = -(-session.seeds // _SLOW_DIVISOR)
    ours = "bench.workloads.our_agent:OurSolver"
    trainers = [
        *(
            (Entrant("preset fast", "ours", ours, ("fast", size), "agent"), size, session.seeds)
            for size in session.num_envs or _SIZES
        ),
        (Entrant("preset keras", "ours", ours, ("keras", 1), "agent"), 1, few),
        (
            Entrant(
                "PureJaxRL's PPO, written anew",
                "peer",
                "bench.workloads.jax_ppo:JaxSolver",
                (),
                "jax",
                ("jax", "gymnax", "optax"),
            ),
            4,
            session.seeds,
        ),
        (
            Entrant(
                "SB3 PPO, its zoo's settings",
                "peer",
                "bench.workloads.sb3:Sb3Solver",
                (),
                "sb3",
                ("stable_baselines3",),
            ),
            8,
            few,
        ),
    ]
    return [
        Task("solve", entrant.name, partial(_solve, entrant, num_envs, seeds, session.processes), weight=float(seeds))
        for entrant, num_envs, seeds in trainers
    ]


def _solve(entrant: Entrant, num_envs: int, seeds: int, processes: Processes, deadline: float) -> Iterator[Measurement]:
    """Train with seeds 0, 1, ... until the deadline, but at least once."""
    values: list[tuple[float, ...]] = []
    try:
        process = processes.of(entrant)
        process.call("make", entrant.name, entrant.factory, entrant.arguments)
        for seed in range(seeds):
            values.append(process.call("ask", entrant.name, "solve", seed))
            if time.perf_counter() >= deadline:
                break
        process.call("drop", entrant.name)
    except PeerError as error:
        yield Skipped("solve", FIGURES[0][0], num_envs, entrant.name, str(error))
    for (case, unit), column in zip(FIGURES, zip(*values, strict=True), strict=False):
        # Preset keras never stops itself.
        if not all(math.isnan(value) for value in column) or case in (FIGURES[0][0], FIGURES[1][0]):
            yield Distribution("solve", case, num_envs, unit, entrant.name, entrant.side, column)


if __name__ == "__main__":
    from bench.cli import run_family

    run_family("solve")
