"""Evaluation in Gymnasium's own ``CartPole-v1``."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import gymnasium
import numpy as np
import numpy.typing as npt

from agent.backend import keras, tf
from agent.validation import checked_integer


@dataclass(frozen=True)
class EvaluationResult:
    """Returns of greedily played episodes.

    Attributes:
        episodes: Number of episodes.
        mean: Mean return.
        standard_deviation: Standard deviation of the returns.
        minimum: Lowest return.
        maximum: Highest return.
    """

    episodes: int
    mean: float
    standard_deviation: float
    minimum: float
    maximum: float

    @classmethod
    def from_returns(cls, returns: npt.NDArray[np.float64]) -> EvaluationResult:
        """Summarize the returns of one or more episodes, shape (E,)."""
        return cls(
            returns.size, float(returns.mean()), float(returns.std()), float(returns.min()), float(returns.max())
        )

    def as_dict(self) -> dict[str, float]:
        """Return the fields as JSON-serializable values."""
        return asdict(self)


def evaluate(actor: keras.Model, *, episodes: int = 100, seed: int = 0) -> EvaluationResult:
    """Play episodes of Gymnasium's ``CartPole-v1``, always taking the more probable action.

    Every episode has an environment of its own and is played to its end, so short episodes are not favoured.

    Args:
        actor: Observations (B, 4), float32, to logits (B, 2).
        episodes: Number of episodes, at least 1.
        seed: Fixes the initial states.

    Returns:
        The statistics of the undiscounted returns.

    Raises:
        TypeError: If ``episodes`` is not an integer.
        ValueError: If it is less than 1.
    """
    checked_integer("episodes", episodes, minimum=1)
    environments = gymnasium.make_vec("CartPole-v1", num_envs=episodes, vectorization_mode="vector_entry_point")
    greedy_actions = tf.function(lambda observations: tf.argmax(actor(observations), axis=1))
    observations, _ = environments.reset(seed=seed)
    returns = np.zeros(episodes)
    playing = np.ones(episodes, dtype=np.bool_)
    while playing.any():
        actions = greedy_actions(tf.constant(observations)).numpy()
        observations, rewards, terminated, truncated, _ = environments.step(actions)
        returns += np.where(playing, rewards, 0.0)
        playing &= ~(terminated | truncated)
    environments.close()
    return EvaluationResult.from_returns(returns)
