"""Evaluation of actors, which may be any suitable Keras models, in Gymnasium environments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium.vector import VectorEnv

from fastcartpole import CartPoleVectorEnv
from fastcartpole.memory import BYTES_PER_ENVIRONMENT, assert_fits_memory

from ..actors import outputs_of
from ..config import Vectorization
from ..environments.making import EnvironmentSource, close_quietly
from ..formatting import format_episode_return, format_number
from ..process.backend import keras
from ..validation import checked_integer
from .budget import EVALUATION_ENVS, LONGEST_EPISODE
from .cartpole import can_play
from .episodes import play
from .stepping import Stepper

Environment = Literal["gymnasium", "fast"]


class NotCartPoleError(ValueError):
    """Raised if ``fastcartpole`` is requested for an environment other than CartPole."""


@dataclass(frozen=True)
class EvaluationResult:
    """Undiscounted returns and lengths of whole episodes.

    Attributes:
        returns: The return of each episode.
        lengths: The length of each episode in steps.
    """

    returns: tuple[float, ...]
    lengths: tuple[int, ...]

    def __repr__(self) -> str:
        return (
            f"<EvaluationResult: mean {format_number(self.mean)}, "
            f"standard deviation {format_number(self.standard_deviation)}, "
            f"minimum {format_episode_return(self.minimum)}, maximum {format_episode_return(self.maximum)} "
            f"of {self.episodes} episodes>"
        )

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
        """Return the number of episodes, statistics of the returns (mean, spread, quartiles), and the mean length."""
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
            "mean_length": float(np.mean(self.lengths)),
        }


def evaluate(
    actor: keras.Model,
    *,
    episodes: int = 100,
    seed: int = 0,
    greedy: bool = True,
    environment: Environment = "gymnasium",
    env_id: str = "CartPole-v1",
    env_kwargs: Mapping[str, Any] | None = None,
    vectorization: Vectorization = "auto",
    make_env: Callable[[], gymnasium.Env[Any, Any]] | None = None,
) -> EvaluationResult:
    """Evaluate an actor in an environment, with the time limit that is registered for it.

    Episodes are played to their end, and the number of episodes per environment is fixed beforehand, so that short
    episodes are not overrepresented. Episodes without a time limit are cut off after 10,000 steps.

    Args:
        actor: Keras model from observations, float32, as vectors of shape (B, D) or in their own shape, to logits of
            shape (B, A) or, for continuous actions, to a dictionary of ``"mean"`` and ``"log_std"``, each of shape
            (B, K).
        episodes: Number of episodes, at least 1.
        seed: Seed of the environments and of sampled actions.
        greedy: Whether to take the most probable actions; otherwise actions are sampled from the policy, independently
            in each step.
        environment: Implementation of CartPole: ``"gymnasium"`` for Gymnasium's, ``"fast"`` for fastcartpole's. Both
            give the same returns.
        env_id: Id in Gymnasium's registry; ``module:id`` imports the module first.
        env_kwargs: Keyword arguments of the environment.
        vectorization: How environments are batched, as in ``agent.PPOConfig``.
        make_env: Function that creates the environment, instead of ``env_id``.

    Returns:
        The returns and lengths of the episodes, and their statistics.

    Raises:
        TypeError: If ``episodes`` or ``seed`` is not an integer, or the actor is not a model.
        ValueError: If ``episodes`` or ``seed`` is too small, the environment cannot be used, or the actor does not fit
            it.
        InvalidTransitionError: If an observation or a reward is infinite or not a number.
        DivergenceError: If a continuous action is infinite or not a number.
        MemoryError: If so many environments do not fit into this machine's memory.
    """
    episodes = checked_integer("episodes", episodes, minimum=1)
    seed = checked_integer("seed", seed, minimum=0, maximum=None)
    if not callable(actor):
        hint = ": pass ppo.actor, or call ppo.evaluate()" if hasattr(actor, "actor") else ""
        raise TypeError(f"actor must be a Keras model, got {actor!r}{hint}.")
    if environment not in get_args(Environment):
        raise ValueError(f"environment must be one of {', '.join(get_args(Environment))}, got {environment!r}.")
    if make_env is not None and env_kwargs:
        raise ValueError(f"env_kwargs apply to env_id only, not to make_env, got {env_kwargs!r}.")
    source = EnvironmentSource(None if make_env else env_id, dict(env_kwargs or {}), vectorization, make_env)
    return evaluate_in(source, actor, episodes, seed, greedy=greedy, environment=environment)


def evaluate_in(
    source: EnvironmentSource,
    actor: keras.Model,
    episodes: int,
    seed: int,
    *,
    greedy: bool = True,
    environment: Environment = "gymnasium",
    on_episodes: Callable[[int], object] = lambda _: None,
) -> EvaluationResult:
    """Evaluate an actor in environments that a source creates; ``evaluate`` describes arguments and errors.

    Args:
        source: Creates the environments.
        actor: The actor.
        episodes: Number of episodes.
        seed: Seed of the environments and of sampled actions.
        greedy: Whether to take the most probable actions.
        environment: Implementation of CartPole.
        on_episodes: Called with the number of episodes so far whenever one has ended.
    """
    spec = source.describe()
    outputs = outputs_of(actor, spec)
    # A spawned seed keeps the actions independent of the initial states, which use the same seed.
    generator = None if greedy else np.random.default_rng(np.random.SeedSequence(seed).spawn(1)[0])

    def act(observations: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
        return spec.action_head.chosen(outputs(observations), generator)

    environments = _new_environments(source, environment, episodes)
    try:
        limit = spec.max_episode_steps or LONGEST_EPISODE
        played = play(Stepper(environments, spec.name), act, seed, episodes, limit, on_episodes)
    finally:
        close_quietly(environments)
    return EvaluationResult(tuple(played.returns.tolist()), tuple(played.lengths.tolist()))


def _new_environments(source: EnvironmentSource, environment: Environment, episodes: int) -> VectorEnv[Any, Any, Any]:
    if not can_play(source):
        if environment == "fast":
            raise NotCartPoleError(f"environment must be 'gymnasium' for {source}, got 'fast', which is CartPole's.")
        return source.many(min(episodes, EVALUATION_ENVS))
    assert_fits_memory(f"{episodes} episodes side by side", episodes * BYTES_PER_ENVIRONMENT)
    registered = source.registered()
    if environment == "fast" and registered is not None:
        return CartPoleVectorEnv(episodes, seeding="shared", max_episode_steps=registered.max_episode_steps)
    return source.many(episodes)
