"""The record of a rollout."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt


class Rollout(NamedTuple):
    """T steps of N environments, whose observations are vectors of D entries.

    Attributes:
        observations: What the policy saw, shape (T, N, D), float32.
        actions: What it did, numbered from 0, shape (T, N), int32; (T, N, K) where an action is K choices; (T, N, K),
            float32, where it is continuous, before it is clipped to the environment's bounds.
        log_probs: Log-probability of each action under the policy that took it, or the logarithm of its density, shape
            (T, N), float32.
        rewards: Shape (T, N), float32.
        terminated: Whether the episode ended in a terminal state with this step, shape (T, N), bool.
        truncated: Whether it was cut short, as by a time limit, with this step, shape (T, N), bool.
        valid: Whether the step is one of an episode, shape (T, N), bool. It is not where the environment ignored the
            action and began a new episode (autoreset with the next step).
        episode_lengths: Length of the episode that ended with this step, 0 where none ended, shape (T, N), int32.
        episode_returns: Its undiscounted return, 0 where none ended, shape (T, N), float64.
        final_observations: Last observation of each episode that was truncated and did not terminate; the k-th of
            environment n stands in ``[k, n]``, shape (K, N, D), float32.
        last_observations: What the policy would see next, shape (N, D), float32.
    """

    observations: npt.NDArray[np.float32]
    actions: npt.NDArray[np.int32] | npt.NDArray[np.float32]
    log_probs: npt.NDArray[np.float32]
    rewards: npt.NDArray[np.float32]
    terminated: npt.NDArray[np.bool_]
    truncated: npt.NDArray[np.bool_]
    valid: npt.NDArray[np.bool_]
    episode_lengths: npt.NDArray[np.int32]
    episode_returns: npt.NDArray[np.float64]
    final_observations: npt.NDArray[np.float32]
    last_observations: npt.NDArray[np.float32]


def new_rollout(
    num_steps: int,
    num_envs: int,
    observation_size: int,
    most_truncations: int,
    action_shape: tuple[int, ...] = (),
    action_dtype: npt.DTypeLike = np.int32,
) -> Rollout:
    """Return a rollout to write into, all steps valid and no episode ended, other contents undefined.

    Args:
        num_steps: T.
        num_envs: N.
        observation_size: D.
        most_truncations: The most episodes of one environment that can be truncated within it.
        action_shape: Shape of one action.
        action_dtype: Type of its entries.
    """
    shape = (num_steps, num_envs)
    return Rollout(
        observations=np.empty((*shape, observation_size), dtype=np.float32),
        actions=np.empty((*shape, *action_shape), dtype=action_dtype),
        log_probs=np.empty(shape, dtype=np.float32),
        rewards=np.empty(shape, dtype=np.float32),
        terminated=np.empty(shape, dtype=np.bool_),
        truncated=np.empty(shape, dtype=np.bool_),
        valid=np.ones(shape, dtype=np.bool_),
        episode_lengths=np.zeros(shape, dtype=np.int32),
        episode_returns=np.zeros(shape, dtype=np.float64),
        final_observations=np.zeros((most_truncations, num_envs, observation_size), dtype=np.float32),
        last_observations=np.empty((num_envs, observation_size), dtype=np.float32),
    )
