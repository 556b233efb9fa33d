"""Evaluation in Gymnasium's own ``CartPole-v1``, or in ours, which is the same to the last bit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import gymnasium
import numpy as np
from gymnasium.vector import VectorEnv

from fastcartpole import CartPoleVectorEnv
from fastcartpole.memory import BYTES_PER_ENVIRONMENT, assert_fits_memory

from ..kernels.sampling import sample_actions
from ..process.backend import computing_on, keras, tf
from ..validation import checked_integer

Environment = Literal["gymnasium", "fast"]


@dataclass(frozen=True)
class EvaluationResult:
    """Undiscounted returns of whole episodes.

    Attributes:
        returns: The return of each episode.
    """

    returns: tuple[float, ...]

    @property
    def episodes(self) -> int:
        """Number of episodes."""
        return len(self.returns)

    @property
    def mean(self) -> float:
        """Mean return."""
        return float(np.mean(self.returns))

    @property
    def standard_deviation(self) -> float:
        """Standard deviation of the returns."""
        return float(np.std(self.returns))

    @property
    def minimum(self) -> float:
        """Lowest return."""
        return min(self.returns)

    @property
    def maximum(self) -> float:
        """Highest return."""
        return max(self.returns)

    def as_dict(self) -> dict[str, float]:
        """Return number of episodes, mean, standard deviation, minimum, quartiles and maximum."""
        lower, median, upper = np.quantile(self.returns, [0.25, 0.5, 0.75]).tolist()
        return {
            "episodes": self.episodes,
            "mean": self.mean,
            "standard_deviation": self.standard_deviation,
            "minimum": self.minimum,
            "lower_quartile": lower,
            "median": median,
            "upper_quartile": upper,
            "maximum": self.maximum,
        }


def evaluate(
    actor: keras.Model,
    *,
    episodes: int = 100,
    seed: int = 0,
    greedy: bool = True,
    environment: Environment = "gymnasium",
) -> EvaluationResult:
    """Play episodes of ``CartPole-v1`` with its limit of 500 steps.

    Every episode has an environment of its own and is played to its end, so short episodes are not favoured.

    Args:
        actor: Observations (B, 4), float32, to logits (B, 2).
        episodes: Number of episodes, at least 1.
        seed: Fixes the initial states, and the actions that are drawn.
        greedy: Whether to take the more probable action, or to draw actions with the policy's probabilities.
        environment: ``"gymnasium"`` for Gymnasium's own batch, ``"fast"`` for ours: the same returns.

    Returns:
        The returns and their statistics.

    Raises:
        TypeError: If ``episodes`` or ``seed`` is not an integer.
        ValueError: If one is too small, or there is no such environment.
        MemoryError: If so many environments cannot fit this machine's memory.
    """
    episodes = checked_integer("episodes", episodes, minimum=1)
    seed = checked_integer("seed", seed, minimum=0, maximum=None)
    assert_fits_memory(f"{episodes} episodes side by side", episodes * BYTES_PER_ENVIRONMENT)
    if environment not in get_args(Environment):
        raise ValueError(f"environment must be one of {', '.join(get_args(Environment))}, got {environment!r}.")
    environments = _new_environments(environment, episodes)
    logits_of = tf.function(actor)
    # Away from the initial states' stream, which starts from the same seed.
    generator = np.random.default_rng(np.random.SeedSequence(seed).spawn(1)[0])
    observations, _ = environments.reset(seed=seed)
    returns = np.zeros(episodes)
    playing = np.ones(episodes, dtype=np.bool_)
    while playing.any():
        with computing_on("cpu"):
            logits = logits_of(tf.constant(observations)).numpy()
        actions = logits.argmax(axis=1) if greedy else sample_actions(logits, generator.random(episodes))
        observations, rewards, terminated, truncated, _ = environments.step(actions)
        returns += np.where(playing, rewards, 0.0)
        playing &= ~(terminated | truncated)
    environments.close()
    return EvaluationResult(tuple(returns.tolist()))


def _new_environments(environment: Environment, episodes: int) -> VectorEnv[Any, Any, Any]:
    if environment == "fast":
        return CartPoleVectorEnv(episodes, seeding="shared")
    return gymnasium.make_vec("CartPole-v1", num_envs=episodes, vectorization_mode="vector_entry_point")
