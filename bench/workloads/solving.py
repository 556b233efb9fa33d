"""The evaluation that decides whether a policy solves CartPole-v1, the same for all entrants."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from agent.kernels.acting import PolicySnapshot
from agent.kernels.forward import padded_weights
from agent.rollouts.cartpole import greedy_episode_lengths

TARGET_RETURN = 475.0
"""Mean return at which CartPole-v1 counts as solved: its reward threshold in Gymnasium's registry."""
_EPISODES = 100
_EPISODE_STEPS = 500


def greedy_mean(weights: Sequence[npt.NDArray[np.float32]]) -> float:
    """Return the mean return of 100 greedy episodes of at most 500 steps, which are the same in every call.

    Args:
        weights: Kernels, shape (inputs, outputs), and biases of a tanh actor, layer by layer.
    """
    seeds = np.random.SeedSequence(0).generate_state(_EPISODES, np.uint64).astype(np.uint64)
    policy = PolicySnapshot(padded_weights(list(weights)))
    return float(greedy_episode_lengths(policy, seeds, _EPISODE_STEPS).mean())
