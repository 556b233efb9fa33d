"""The spaces of CartPole, those of Gymnasium's ``CartPole-v1``."""

from __future__ import annotations

import numpy as np
from gymnasium.spaces import Box, Discrete

from fastcartpole.physics import CartPoleParameters


def action_space() -> Discrete:
    """Return a new space of one environment's actions, 0 and 1; samples are seeded by the system."""
    return Discrete(2)


def observation_space(parameters: CartPoleParameters) -> Box:
    """Return the space of one environment's observations, shape (4,), float32.

    Positions and angles reach to twice their thresholds, so that the last observation of an episode is inside; where
    the thresholds differ between environments, the largest counts.
    """
    high = np.array(
        [2 * np.max(parameters.position_threshold), np.inf, 2 * np.max(parameters.angle_threshold), np.inf],
        dtype=np.float32,
    )
    return Box(-high, high, dtype=np.float32)
