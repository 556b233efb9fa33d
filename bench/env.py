"""Environment steps with random actions: ``python -m bench.env``."""

from __future__ import annotations

import os
from collections.abc import Iterator

from bench.harness import Case, Entrant
from bench.results import Side
from bench.tasks import Session, Task, tasks_of

_SIZES = (1, 256, 4096, 65536)
# SyncVectorEnv creates and steps its environments one by one.
_MAX_SYNC_ENVS = 4096
# Minimum memory traffic of a step: the state (4 doubles) and the step count (8 bytes) are read and written, the action
# (8) is read, and the observation (16), the reward (8) and two flags (2) are written.
_BYTES_OF_A_STEP = 2 * 32 + 2 * 8 + 8 + 16 + 8 + 2
_WORKLOADS = "bench.workloads"


def tasks(session: Session) -> list[Task]:
    """Return the tasks: steps, rollouts and seeded resets with each number of environments."""
    sizes = session.num_envs or _SIZES
    return tasks_of((case for size in sizes for case in cases(size)), session)


def cases(num_envs: int) -> Iterator[Case]:
    """Yield the cases with one number of environments."""
    yield _steps(num_envs)
    if num_envs == 1:
        yield _steps_of_a_single_environment()
    yield _rollouts(num_envs)
    yield _rollouts_on_one_thread(num_envs)
    yield _resets(num_envs)


def _steps(num_envs: int) -> Case:
    ours = [_ours("stepping:OurSteps", num_envs, precision) for precision in ("exact", "fast")]
    limit = _memory_limit(os.cpu_count() or 1)
    return Case("env", "step", num_envs, "steps", (*ours, *_stepped_peers(num_envs), limit))


def _steps_of_a_single_environment() -> Case:
    single = f"{_WORKLOADS}.stepping:SingleSteps"
    entrants = (
        Entrant("fastcartpole", "ours", f"{_WORKLOADS}.stepping:OurSingleSteps", (), "fastcartpole"),
        Entrant("Gymnasium", "peer", single, ("CartPole-v1",), "gymnasium"),
    )
    return Case("env", "step, single environment", 1, "steps", entrants)


def _rollouts(num_envs: int) -> Case:
    ours = [_ours("stepping:OurRollouts", num_envs, precision) for precision in ("exact", "fast")]
    workload = f"{_WORKLOADS}.gymnax_steps:GymnaxRollouts"
    gymnax = Entrant("gymnax on JAX, one lax.scan", "peer", workload, (num_envs,), "jax", ("jax", "gymnax"))
    limit = _memory_limit(os.cpu_count() or 1)
    return Case("env", "rollout in one call", num_envs, "steps", (*ours, gymnax, limit))


def _rollouts_on_one_thread(num_envs: int) -> Case:
    ours = [_ours("stepping:OurRollouts", num_envs, precision, threads=1) for precision in ("exact", "fast")]
    in_c = Entrant("float32 loop in C", "peer", f"{_WORKLOADS}.scalar_c:ScalarRollouts", (num_envs,), "c")
    return Case("env", "rollout in one call, 1 thread", num_envs, "steps", (*ours, in_c, _memory_limit(1)))


def _resets(num_envs: int) -> Case:
    entrants = (
        _entrant("fastcartpole", "ours", "stepping:OurResets", num_envs, "fastcartpole"),
        _entrant("np.random.PCG64 for each", "peer", "stepping:NumPyGenerators", num_envs, "gymnasium"),
    )
    return Case("env", "reset(seed)", num_envs, "resets", entrants)


def _memory_limit(threads: int) -> Entrant:
    name = f"memory bandwidth, {threads} core{'s' if threads > 1 else ''}"
    return Entrant(name, "limit", f"{_WORKLOADS}.limits:MemoryCopies", (_BYTES_OF_A_STEP, threads), "limits")


def _ours(factory: str, num_envs: int, precision: str, threads: int | None = None) -> Entrant:
    arguments = (num_envs, precision, threads)
    return Entrant(f"fastcartpole, {precision}", "ours", f"{_WORKLOADS}.{factory}", arguments, "fastcartpole")


def _stepped_peers(num_envs: int) -> Iterator[Entrant]:
    gymnasium = f"{_WORKLOADS}.stepping:GymnasiumSteps"
    yield Entrant("Gymnasium CartPoleVectorEnv", "peer", gymnasium, (num_envs, "vector_entry_point"), "gymnasium")
    too_slow = "It creates its environments one by one, which would take minutes." if num_envs > _MAX_SYNC_ENVS else ""
    yield Entrant("Gymnasium SyncVectorEnv", "peer", gymnasium, (num_envs, "sync"), "gymnasium", why_not=too_slow)
    yield _entrant("EnvPool", "peer", "stepping:EnvPoolSteps", num_envs, "envpool", "envpool")
    yield _entrant("rlox", "peer", "rlox_steps:RloxSteps", num_envs, "rlox", "rlox")


def _entrant(name: str, side: Side, factory: str, num_envs: int, process: str, *packages: str) -> Entrant:
    return Entrant(name, side, f"{_WORKLOADS}.{factory}", (num_envs,), process, packages)


if __name__ == "__main__":
    from bench.cli import run_family

    run_family("env")
