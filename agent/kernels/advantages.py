"""Advantages and returns of a rollout."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from fastcartpole.kernels import kernel

from .rollout import Rollout

Array = npt.NDArray[np.float32]

EQUAL_DEVIATION = 1e-8
"""Advantages with at most this standard deviation count as equal."""


@kernel()
def advantages_and_returns(
    rollout: Rollout, values: Array, last_values: Array, final_values: Array, gamma: float, gae_lambda: float
) -> tuple[Array, Array]:
    """Return generalized advantage estimates and rewards-to-go.

    Both are computed backwards along each trajectory (Schulman et al., "High-Dimensional Continuous Control Using
    Generalized Advantage Estimation", 2016, equation 16). The value after a trajectory is 0 if it terminated, the
    critic's value of its final observation if it was truncated, and the value of the last observation if the rollout
    ended first. Invalid steps lie between two trajectories and get zeros.

    Args:
        rollout: T steps of N environments.
        values: The critic's values of the observations, shape (T, N), float32.
        last_values: Values of the last observations, shape (N,), float32.
        final_values: Values of the final observations of truncated episodes, shape (K, N), float32.
        gamma: Discount factor.
        gae_lambda: Lambda of the estimator.

    Returns:
        ``(advantages, returns)``, shape (T, N), float32; sums are computed in float64.
    """
    num_steps, num_envs = values.shape
    advantages = np.empty((num_steps, num_envs), dtype=np.float32)
    returns = np.empty((num_steps, num_envs), dtype=np.float32)
    for n in range(num_envs):
        next_value = float(last_values[n])
        advantage = 0.0
        return_to_go = next_value
        truncations_left = 0
        for t in range(num_steps):
            truncations_left += rollout.truncated[t, n] and not rollout.terminated[t, n]
        for t in range(num_steps - 1, -1, -1):
            if not rollout.valid[t, n]:
                advantages[t, n], returns[t, n] = 0.0, 0.0
                continue
            if rollout.terminated[t, n]:
                next_value, advantage, return_to_go = 0.0, 0.0, 0.0
            elif rollout.truncated[t, n]:
                truncations_left -= 1
                next_value = float(final_values[truncations_left, n])
                advantage, return_to_go = 0.0, next_value
            value = float(values[t, n])
            reward = float(rollout.rewards[t, n])
            advantage = reward + gamma * next_value - value + gamma * gae_lambda * advantage
            return_to_go = reward + gamma * return_to_go
            advantages[t, n] = advantage
            returns[t, n] = return_to_go
            next_value = value
    return advantages, returns


def normalized(advantages: Array, valid: npt.NDArray[np.bool_]) -> Array:
    """Return advantages with mean 0 and standard deviation 1, or zeros if all are equal.

    Args:
        advantages: Any shape, float32.
        valid: True for the advantages to normalize, same shape; the others are unchanged.
    """
    return np.asarray(_normalized(advantages.reshape(-1), valid.reshape(-1)).reshape(advantages.shape))


@kernel()
def _normalized(advantages: Array, valid: npt.NDArray[np.bool_]) -> Array:
    """Return normalized advantages, shape (B,); sums are computed in float64."""
    mean, variance = _moments(advantages, valid)
    deviation = math.sqrt(variance)
    results = advantages.copy()
    for i in range(advantages.size):
        if valid[i]:
            results[i] = 0.0 if deviation <= EQUAL_DEVIATION else (advantages[i] - mean) / deviation
    return results


@kernel()
def _moments(values: Array, valid: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """Return mean and variance, in float64, of the valid values, shape (B,); zeros if there are none."""
    count, total, squares = 0, 0.0, 0.0
    for i in range(values.size):
        if valid[i]:
            count += 1
            total += float(values[i])
    mean = total / max(count, 1)
    for i in range(values.size):
        if valid[i]:
            squares += (float(values[i]) - mean) ** 2
    return mean, squares / max(count, 1)


@kernel()
def explained_variance(values: Array, targets: Array, valid: npt.NDArray[np.bool_]) -> float:
    """Return the explained variance of the targets, 1 - Var(targets - values) / Var(targets).

    Args:
        values: Shape (B,), float32.
        targets: Shape (B,), float32.
        valid: True for the entries to include, shape (B,), bool.

    Returns:
        At most 1; 0 if all values are equal; NaN if all targets are equal or there are none.
    """
    _, variance = _moments(targets, valid)
    if variance == 0.0:
        return math.nan
    _, unexplained = _moments(targets - values, valid)
    return 1.0 - unexplained / variance
