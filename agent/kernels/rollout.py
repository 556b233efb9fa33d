"""The record of a rollout."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt


class Rollout(NamedTuple):
    """T steps of N environments.

    Attributes:
        observations: What the policy saw, shape (T, N, 4), float32.
        actions: What it did, shape (T, N), int32.
        log_probs: Log-probability of each action under the policy that took it, shape (T, N), float32.
        rewards: Shape (T, N), float32.
        terminated: Whether the episode ended by a fall with this step, shape (T, N), bool.
        truncated: Whether it ended at the time limit with this step, shape (T, N), bool.
        episode_lengths: Length of the episode that ended with this step, 0 where none ended, shape (T, N), int32.
        final_observations: Last observation of each episode that was truncated and had not fallen; the k-th of
            environment n stands in ``[k, n]``, shape (K, N, 4), float32.
        last_observations: What the policy would see next, shape (N, 4), float32.
    """

    observations: npt.NDArray[np.float32]
    actions: npt.NDArray[np.int32]
    log_probs: npt.NDArray[np.float32]
    rewards: npt.NDArray[np.float32]
    terminated: npt.NDArray[np.bool_]
    truncated: npt.NDArray[np.bool_]
    episode_lengths: npt.NDArray[np.int32]
    final_observations: npt.NDArray[np.float32]
    last_observations: npt.NDArray[np.float32]


def new_rollout(num_steps: int, num_envs: int, max_episode_steps: int) -> Rollout:
    """Return a rollout to write into: T = ``num_steps``, N = ``num_envs``, contents undefined."""
    shape = (num_steps, num_envs)
    # The first truncation can come at once, each later one takes a whole episode.
    most_truncations = 1 + (num_steps - 1) // max_episode_steps
    return Rollout(
        observations=np.empty((*shape, 4), dtype=np.float32),
        actions=np.empty(shape, dtype=np.int32),
        log_probs=np.empty(shape, dtype=np.float32),
        rewards=np.empty(shape, dtype=np.float32),
        terminated=np.empty(shape, dtype=np.bool_),
        truncated=np.empty(shape, dtype=np.bool_),
        episode_lengths=np.empty(shape, dtype=np.int32),
        final_observations=np.zeros((most_truncations, num_envs, 4), dtype=np.float32),
        last_observations=np.empty((num_envs, 4), dtype=np.float32),
    )
