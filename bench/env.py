"""Environment steps: ours against Gymnasium's own CartPoles."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium.vector import VectorEnv

from bench.harness import Result, WrongResultError, compare
from bench.peers.scalar_c import ScalarCartPole
from fastcartpole import CartPoleVectorEnv, Rollout

_TARGET_STEPS = 400_000
_ROLLOUT_TRANSITIONS = 64 * 1024
_CHECKED_ENVS = 8
_CHECKED_STEPS = 100
_CHECKED_LIMIT = 30
_RESULTS = ("observations", "rewards", "terminated", "truncated")


def check_against_gymnasium(num_envs: int, seed: int = 0) -> None:
    """Compare trajectories with Gymnasium's bit by bit, through falls, time limits and resets.

    A small batch is compared with ``SyncVectorEnv``; one of the size that is to be measured, whose kernels may be
    others, with Gymnasium's batched environment.

    Args:
        num_envs: Size of the batch that is to be measured.
        seed: Seed of the environments and of the random actions.

    Raises:
        WrongResultError: At the first differing bit.
    """
    for size, mode, seeding in ((_CHECKED_ENVS, "sync", "independent"), (num_envs, "vector_entry_point", "shared")):
        reference = gymnasium.make_vec(
            "CartPole-v1", num_envs=size, vectorization_mode=mode, max_episode_steps=_CHECKED_LIMIT
        )
        _check(CartPoleVectorEnv(size, seeding=seeding, max_episode_steps=_CHECKED_LIMIT), reference, seed)


def _check(ours: CartPoleVectorEnv, reference: VectorEnv, seed: int) -> None:
    """Step both with the same random actions until the first differing bit."""
    actual: tuple[Any, ...] = ours.reset(seed=seed)[:1]
    expected: tuple[Any, ...] = reference.reset(seed=seed)[:1]
    actions = _random_actions(seed, _CHECKED_STEPS, ours.num_envs)
    for step in range(_CHECKED_STEPS + 1):
        for name, a, b in zip(_RESULTS, actual, expected, strict=False):
            if a.tobytes() != b.tobytes():
                raise WrongResultError(f"fastcartpole's {name} differ from those of {reference} at step {step}.")
        if step < _CHECKED_STEPS:
            actual, expected = ours.step(actions[step])[:4], reference.step(actions[step])[:4]
    reference.close()


def measure(num_envs: Iterable[int], repeats: int) -> Iterator[Result]:
    """Compare trajectories with Gymnasium's, then measure ours, at each batch size.

    Args:
        num_envs: Sizes of the batch, each at least 1.
        repeats: Counted repetitions of each, at least 1.

    Yields:
        The durations of each case.

    Raises:
        WrongResultError: If a trajectory differs.
    """
    for size in num_envs:
        check_against_gymnasium(size)
        yield from measure_size(size, repeats)


def measure_size(num_envs: int, repeats: int) -> Iterator[Result]:
    """Measure ours at one batch size, random actions, with autoreset, all results stored.

    Steps and rollouts are set against Gymnasium's batched environment stepped through the Gymnasium API; with one
    environment the single environments are compared too.

    Args:
        num_envs: Size of the batch, at least 1.
        repeats: Counted repetitions of each, at least 1.

    Yields:
        The durations of each case.
    """
    # Long enough against timer noise, and rollouts that fit the second-level cache.
    rollout_steps = min(max(_ROLLOUT_TRANSITIONS // num_envs, 8), 1024)
    num_steps = max(_TARGET_STEPS // max(num_envs, 64) // rollout_steps, 1) * rollout_steps
    actions = _random_actions(0, num_steps, num_envs)
    peer = gymnasium.make_vec("CartPole-v1", num_envs=num_envs, vectorization_mode="vector_entry_point")
    peer.reset(seed=0)
    for case, work in _our_cases(num_envs, actions, rollout_steps).items():
        comparison = compare(work, partial(_play, peer, actions), repeats, work=actions.size)
        yield Result(case, "Gymnasium CartPoleVectorEnv", num_envs, "steps", comparison)
    peer.close()
    if num_envs == 1:
        yield _measure_single(num_steps, repeats)
    yield from _measure_against_c(num_envs, num_steps, rollout_steps, repeats)
    yield _measure_seeding(num_envs, repeats)


def _our_cases(num_envs: int, actions: npt.NDArray[np.int64], rollout_steps: int) -> dict[str, Callable[[], object]]:
    """Return what is measured against Gymnasium's batched environment, all of it as many steps as ``actions`` has."""
    cases: dict[str, Callable[[], object]] = {}
    for precision in ("exact", "fast"):
        environments = CartPoleVectorEnv(num_envs, precision=precision)
        environments.reset(seed=0)
        out = environments.rollout("random", rollout_steps)
        cases[f"step, {precision}"] = partial(_play, environments, actions)
        cases[f"rollout, {precision}"] = partial(_roll_out, environments, len(actions), out)
    return cases


def _measure_single(num_steps: int, repeats: int) -> Result:
    """Compare the single environments inside the same wrappers."""
    ours, peer = gymnasium.make("fastcartpole/CartPole-v1"), gymnasium.make("CartPole-v1")
    actions = _random_actions(0, num_steps, 1)[:, 0].tolist()
    comparison = compare(
        partial(_play_single, ours, actions), partial(_play_single, peer, actions), repeats, work=num_steps
    )
    return Result("single step", "Gymnasium CartPoleEnv", 1, "steps", comparison)


def _measure_against_c(num_envs: int, num_steps: int, rollout_steps: int, repeats: int) -> Iterator[Result]:
    """Compare rollouts on one thread with a scalar float32 loop in C, where there is a compiler."""
    try:
        peer = ScalarCartPole(num_envs, rollout_steps)
    except RuntimeError:
        return

    def roll_out_peer() -> float:
        return sum(peer.roll_out() for _ in range(0, num_steps, rollout_steps))

    for precision in ("exact", "fast"):
        environments = CartPoleVectorEnv(num_envs, precision=precision, num_threads=1)
        environments.reset(seed=0)
        out = environments.rollout("random", rollout_steps)
        ours = partial(_roll_out, environments, num_steps, out)
        comparison = compare(ours, roll_out_peer, repeats, work=num_envs * num_steps)
        case = f"rollout, {precision}, 1 thread"
        yield Result(case, "float32 loop in C, 1 thread", num_envs, "steps", comparison)


def _measure_seeding(num_envs: int, repeats: int) -> Result:
    """Compare a seeded reset of the batch with making one NumPy generator for each environment."""
    ours = CartPoleVectorEnv(num_envs)

    def make_generators() -> object:
        return [np.random.PCG64(seed) for seed in range(num_envs)]

    comparison = compare(partial(ours.reset, seed=0), make_generators, repeats, work=num_envs)
    return Result("reset(seed)", "np.random.PCG64 for each", num_envs, "resets", comparison)


def _play(environments: VectorEnv, actions: npt.NDArray[np.int64]) -> float:
    """Step through all actions, shape (T, N); return the sum of the last rewards."""
    for row in actions:
        results = environments.step(row)
    return float(results[1].sum())


def _play_single(environment: gymnasium.Env, actions: list[int]) -> float:
    """Step through all actions, starting anew after each episode; return the sum of the rewards."""
    environment.reset(seed=0)
    total = 0.0
    for action in actions:
        _, reward, terminated, truncated, _ = environment.step(action)
        total += float(reward)
        if terminated or truncated:
            environment.reset()
    return total


def _roll_out(environments: CartPoleVectorEnv, num_steps: int, out: Rollout) -> float:
    """Take as many steps in compiled rollouts, each into the same arrays; return the sum of the rewards."""
    return float(
        sum(
            environments.rollout("random", len(out.rewards), seed=start, out=out).rewards.sum()
            for start in range(0, num_steps, len(out.rewards))
        )
    )


def _random_actions(seed: int, num_steps: int, num_envs: int) -> npt.NDArray[np.int64]:
    return np.random.default_rng(seed).integers(0, 2, (num_steps, num_envs))
