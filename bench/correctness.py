"""Whether an environment is CartPole: nothing is timed before that is known."""

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
    """What an environment did.

    Attributes:
        observations: Before each step and after the last, shape (T + 1, N, 4).
        actions: Shape (T, N).
        ended: Whether an episode ended with a step, shape (T, N).
    """

    observations: npt.NDArray[np.float32]
    actions: npt.NDArray[np.int64]
    ended: npt.NDArray[np.bool_]


def random_actions(seed: int, num_steps: int, num_envs: int) -> npt.NDArray[np.int64]:
    """Return actions 0 and 1 of equal probability, shape (T, N)."""
    return np.random.default_rng(seed).integers(0, 2, (num_steps, num_envs))


def check_bits(num_envs: int, seed: int = 0) -> None:
    """Compare our trajectories with Gymnasium's bit by bit, through falls, time limits and resets.

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
        ours = CartPoleVectorEnv(size, seeding=seeding, max_episode_steps=_CHECKED_LIMIT)
        _check_bits(ours, reference, seed)
        reference.close()


def _check_bits(ours: CartPoleVectorEnv, reference: VectorEnv[Any, Any, Any], seed: int) -> None:
    """Step both with the same random actions until the first differing bit."""
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
    """Compare every step of an environment with the one Gymnasium takes from the same observation.

    Steps that end an episode, and those right after, may answer with the next episode's first observation: of these
    only the end is compared.

    Args:
        trajectory: Of any CartPole, whatever its precision, seeding and way to reset.

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
            raise WrongResultError(f"Its episodes end otherwise than Gymnasium's at step {t}.")
        playing = ~ended[t]
    reference.close()


def _is_borderline(observations: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """Return where a rounding decides whether the episode ends, shape (N,)."""
    distances = np.abs(np.abs(observations[:, [0, 2]]) - [_LARGEST_X, _LARGEST_ANGLE])
    return np.asarray((distances < _TOLERANCE).any(axis=1))
