"""Environment steps: ours against Gymnasium's own batched CartPole, both through the Gymnasium API."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium.vector import VectorEnv

from bench.harness import Comparison, compare
from fastcartpole import CartPoleVectorEnv

_TARGET_STEPS = 400_000
_CHECKED_ENVS = 8
_CHECKED_STEPS = 600


class WrongResultError(RuntimeError):
    """A benchmarked environment does not compute what Gymnasium computes."""


@dataclass(frozen=True)
class EnvironmentResult:
    """One batch size measured.

    Attributes:
        num_envs: Size of the batch.
        num_steps: Steps of the whole batch in one repetition.
        comparison: Durations of ours and of Gymnasium's ``CartPoleVectorEnv``.
    """

    num_envs: int
    num_steps: int
    comparison: Comparison


def check_against_gymnasium(seed: int = 0) -> None:
    """Compare trajectories with ``SyncVectorEnv`` bit by bit, through resets, before anything is timed.

    Args:
        seed: Seed of the environments and of the random actions.

    Raises:
        WrongResultError: At the first differing bit.
    """
    ours = CartPoleVectorEnv(_CHECKED_ENVS)
    reference = gymnasium.make_vec("CartPole-v1", num_envs=_CHECKED_ENVS, vectorization_mode="sync")
    results: list[tuple[Any, ...]] = [ours.reset(seed=seed)[:1], reference.reset(seed=seed)[:1]]
    for step, actions in enumerate(_random_actions(seed, _CHECKED_STEPS, _CHECKED_ENVS)):
        if any(a.tobytes() != b.tobytes() for a, b in zip(*results, strict=True)):
            raise WrongResultError(f"fastcartpole differs from Gymnasium's SyncVectorEnv at step {step}.")
        results = [ours.step(actions)[:4], reference.step(actions)[:4]]
    reference.close()


def measure(num_envs: int, repeats: int) -> EnvironmentResult:
    """Step both environments through the Gymnasium API, random actions, with autoreset.

    Args:
        num_envs: Size of the batch, at least 1.
        repeats: Counted repetitions of each, at least 1.

    Returns:
        The durations.
    """
    num_steps = max(20, _TARGET_STEPS // max(num_envs, 64))
    actions = _random_actions(0, num_steps, num_envs)
    ours = CartPoleVectorEnv(num_envs)
    peer = gymnasium.make_vec("CartPole-v1", num_envs=num_envs, vectorization_mode="vector_entry_point")
    comparison = compare(lambda: _play(ours, actions), lambda: _play(peer, actions), repeats)
    peer.close()
    return EnvironmentResult(num_envs, num_steps, comparison)


def _play(environments: VectorEnv, actions: npt.NDArray[np.int64]) -> float:
    """Step through all actions, shape (T, N); return the sum of the rewards, so that no result goes unused."""
    environments.reset(seed=0)
    return float(sum(environments.step(row)[1].sum() for row in actions))


def _random_actions(seed: int, num_steps: int, num_envs: int) -> npt.NDArray[np.int64]:
    return np.random.default_rng(seed).integers(0, 2, (num_steps, num_envs))
