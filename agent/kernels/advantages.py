"""Advantages and value targets of a rollout."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from fastcartpole.kernels import kernel

from .rollout import Rollout

Array = npt.NDArray[np.float32]

EQUAL_DEVIATION = 1e-8
"""A standard deviation up to which advantages count as all equal."""


@kernel()
def advantages_and_returns(
    rollout: Rollout, values: Array, last_values: Array, final_values: Array, gamma: float, gae_lambda: float
) -> tuple[Array, Array]:
    """Return generalized advantage estimates and rewards-to-go.

    Both are computed backwards along each path (Schulman et al., "High-Dimensional Continuous Control Using
    Generalized Advantage Estimation", 2016, equation 16). What follows a path is worth nothing where it terminated, the
    critic's value of its final observation where it was truncated, and that of the last observation where the rollout
    cut it off. Steps that are not valid stand between two paths and get zeros.

    Args:
        rollout: T steps of N environments.
        values: The critic's values of the observations, shape (T, N), float32.
        last_values: Its values of the last observations, shape (N,), float32.
        final_values: Its values of the final observations of truncated episodes, shape (K, N), float32.
        gamma: Discount factor.
        gae_lambda: Lambda of the estimator.

    Returns:
        ``(advantages, returns)``, shape (T, N), float32; the sums run in float64.
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
    """Return advantages with mean 0 and standard deviation 1; where they are all equal, zeros.

    Args:
        advantages: Any shape, float32.
        valid: Which of them count, same shape; the others stay what they are.
    """
    return np.asarray(_normalized(advantages.reshape(-1), valid.reshape(-1)).reshape(advantages.shape))


@kernel()
def _normalized(advantages: Array, valid: npt.NDArray[np.bool_]) -> Array:
    """Return normalized advantages, shape (B,); the sums run in float64."""
    mean, variance = _moments(advantages, valid)
    deviation = math.sqrt(variance)
    results = advantages.copy()
    for i in range(advantages.size):
        if valid[i]:
            results[i] = 0.0 if deviation <= EQUAL_DEVIATION else (advantages[i] - mean) / deviation
    return results


@kernel()
def _moments(values: Array, valid: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """Return mean and variance, in float64, of the values that are valid, shape (B,); zeros where there are none."""
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
    """Return which share of the variance of the targets the values explain: 1 - Var(targets - values) / Var(targets).

    Args:
        values: Shape (B,), float32.
        targets: Shape (B,), float32.
        valid: Which of them count, shape (B,).

    Returns:
        At most 1; 0 for values that are all equal; not a number where all targets are equal, or there are none.
    """
    _, variance = _moments(targets, valid)
    if variance == 0.0:
        return math.nan
    _, unexplained = _moments(targets - values, valid)
    return 1.0 - unexplained / variance
