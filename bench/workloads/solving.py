"""When a policy counts as solving CartPole-v1: the same evaluation for every trainer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from agent.kernels.acting import PolicySnapshot
from agent.kernels.forward import padded_weights
from agent.rollouts.cartpole import greedy_episode_lengths

TARGET_RETURN = 475.0
"""The mean return that Gymnasium's registry calls solved."""
_EPISODES = 100
_EPISODE_STEPS = 500


def greedy_mean(weights: Sequence[npt.NDArray[np.float32]]) -> float:
    """Return the mean return of 100 greedy episodes of at most 500 steps, of seeds 0, 1, ...

    Args:
        weights: Kernels, shape (inputs, outputs), and biases of a tanh actor, layer by layer.
    """
    seeds = np.random.SeedSequence(0).generate_state(_EPISODES, np.uint64).astype(np.uint64)
    policy = PolicySnapshot(padded_weights(list(weights)))
    return float(greedy_episode_lengths(policy, seeds, _EPISODE_STEPS).mean())
