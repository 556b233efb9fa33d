"""Observation and action space of CartPole, equal to those of Gymnasium's ``CartPole-v1``."""

from __future__ import annotations

import numpy as np
from gymnasium.spaces import Box, Discrete

from fastcartpole.physics import CartPoleParameters


def action_space() -> Discrete:
    """Return a new action space of one environment, 0 and 1, seeded from the system's entropy."""
    return Discrete(2)


def observation_space(parameters: CartPoleParameters) -> Box:
    """Return the observation space of one environment, shape (4,), float32.

    Positions and angles are bounded by twice their thresholds, so that the last observation of an episode lies inside.
    If the thresholds differ between environments, the largest is used.
    """
    high = np.array(
        [2 * np.max(parameters.position_threshold), np.inf, 2 * np.max(parameters.angle_threshold), np.inf],
        dtype=np.float32,
    )
    return Box(-high, high, dtype=np.float32)
