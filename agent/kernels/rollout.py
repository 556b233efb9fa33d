"""The record of a rollout."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt


class Rollout(NamedTuple):
    """T steps of N environments with observations of D entries.

    Attributes:
        observations: Observations from which the actions were chosen, shape (T, N, D), float32.
        actions: Discrete actions numbered from 0, shape (T, N), int32, or (T, N, K) if an action consists of K choices;
            continuous actions, before clipping to the environment's bounds, shape (T, N, K), float32.
        log_probs: Log-probability, or log-density, of each action under the policy that took it, shape (T, N), float32.
        rewards: Shape (T, N), float32.
        terminated: Whether the episode reached a terminal state in this step, shape (T, N), bool.
        truncated: Whether the episode was truncated in this step, as by a time limit, shape (T, N), bool.
        valid: Whether the step belongs to an episode, shape (T, N), bool. It is False if the environment ignored the
            action and started a new episode (next-step autoreset).
        episode_lengths: Length of the episode that ended with this step, 0 if none ended, shape (T, N), int32.
        episode_returns: Undiscounted return of that episode, 0 if none ended, shape (T, N), float64.
        final_observations: Last observation of each episode that was truncated but did not terminate, with the k-th of
            environment n in ``[k, n]``, shape (K, N, D), float32.
        last_observations: Observations after the last step, shape (N, D), float32.
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
    """Return a rollout to write to, with all steps valid, no episode ended and other contents undefined.

    Args:
        num_steps: Number of steps T.
        num_envs: Number of environments N.
        observation_size: Number of entries D of an observation.
        most_truncations: Maximum number of episodes of one environment that can be truncated in the rollout.
        action_shape: Shape of one action.
        action_dtype: Dtype of its entries.
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
