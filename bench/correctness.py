"""Checks that an environment computes CartPole's dynamics; they run before anything is timed."""

from __future__ import annotations

from typing import Any, NamedTuple

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium.vector import VectorEnv

from bench.process import WrongResultError
from fastcartpole import CartPoleVectorEnv

_CHECKED_ENVS = 8
_CHECKED_STEPS = 100
_CHECKED_LIMIT = 30
_RESULTS = ("observations", "rewards", "terminated", "truncated")
# Observations are rounded to float32 before Gymnasium computes the next ones from them.
_TOLERANCE = 1e-4
_LARGEST_X, _LARGEST_ANGLE = 2.4, 12 * 2 * np.pi / 360


class Trajectory(NamedTuple):
    """A trajectory of N environments over T steps.

    Attributes:
        observations: Observations before each step and after the last one, shape (T + 1, N, 4).
        actions: Actions, shape (T, N).
        ended: Whether an episode ended with the step, shape (T, N).
    """

    observations: npt.NDArray[np.float32]
    actions: npt.NDArray[np.int64]
    ended: npt.NDArray[np.bool_]


def random_actions(seed: int, num_steps: int, num_envs: int) -> npt.NDArray[np.int64]:
    """Return actions 0 and 1 with equal probability, shape (T, N)."""
    return np.random.default_rng(seed).integers(0, 2, (num_steps, num_envs))


def check_bits(num_envs: int, seed: int = 0) -> None:
    """Compare trajectories of ``CartPoleVectorEnv`` with Gymnasium's bit by bit, across terminations and truncations.

    A small batch is compared with ``SyncVectorEnv``. A batch of the measured size, which may use different kernels, is
    compared with Gymnasium's ``CartPoleVectorEnv``.

    Args:
        num_envs: Number of environments to be measured.
        seed: Seed of the environments and of the random actions.

    Raises:
        WrongResultError: If any bit differs.
    """
    for size, mode, seeding in ((_CHECKED_ENVS, "sync", "independent"), (num_envs, "vector_entry_point", "shared")):
        reference = gymnasium.make_vec(
            "CartPole-v1", num_envs=size, vectorization_mode=mode, max_episode_steps=_CHECKED_LIMIT
        )
        ours = CartPoleVectorEnv(size, seeding=seeding, max_episode_steps=_CHECKED_LIMIT)
        _check_bits(ours, reference, seed)
        reference.close()


def _check_bits(ours: CartPoleVectorEnv, reference: VectorEnv[Any, Any, Any], seed: int) -> None:
    """Step both with the same random actions, and raise at the first bit that differs."""
    actual: tuple[Any, ...] = ours.reset(seed=seed)[:1]
    expected: tuple[Any, ...] = reference.reset(seed=seed)[:1]
    actions = random_actions(seed, _CHECKED_STEPS, ours.num_envs)
    for step in range(_CHECKED_STEPS + 1):
        for name, a, b in zip(_RESULTS, actual, expected, strict=False):
            if a.tobytes() != b.tobytes():
                raise WrongResultError(f"fastcartpole's {name} differ from those of {reference} at step {step}.")
        if step < _CHECKED_STEPS:
            actual, expected = ours.step(actions[step])[:4], reference.step(actions[step])[:4]


def check_dynamics(trajectory: Trajectory) -> None:
    """Compare every step of an environment with Gymnasium's step from the same observation.

    The step that ends an episode and the step after it may return the first observation of the next episode, so their
    observations are not compared.

    Args:
        trajectory: Trajectory of any CartPole, whatever its precision, seeding and autoreset mode.

    Raises:
        WrongResultError: If a step differs by more than single precision explains.
    """
    observations, actions, ended = trajectory
    reference: Any = gymnasium.make_vec(
        "CartPole-v1", num_envs=actions.shape[1], vectorization_mode="vector_entry_point"
    ).unwrapped
    reference.reset(seed=0)
    playing = np.ones(actions.shape[1], dtype=np.bool_)
    for t, row in enumerate(actions):
        reference.state = observations[t].astype(np.float64).T.copy()
        reference.prev_done = np.zeros(actions.shape[1], dtype=np.bool_)
        expected, _, terminated, *_ = reference.step(row)
        compared = playing & ~ended[t] & ~terminated
        error = np.abs(observations[t + 1] - expected)[compared].max(initial=0.0)
        if not error <= _TOLERANCE:
            raise WrongResultError(f"Its observations are up to {error:.1e} away from Gymnasium's at step {t}.")
        surprising = playing & (ended[t] != terminated) & ~_is_borderline(expected)
        if surprising.any():
            raise WrongResultError(f"Its episodes do not end when Gymnasium's do, at step {t}.")
        playing = ~ended[t]
    reference.close()


def _is_borderline(observations: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """Return whether rounding decides if the episode ends, shape (N,)."""
    distances = np.abs(np.abs(observations[:, [0, 2]]) - [_LARGEST_X, _LARGEST_ANGLE])
    return np.asarray((distances < _TOLERANCE).any(axis=1))
