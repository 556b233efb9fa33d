"""Who plays what: CartPole's kernel where it can, a vector environment everywhere else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv

from ..config import REGISTERED, PPOConfig
from ..environments.making import EnvironmentSource, source_of
from ..environments.spec import EnvironmentSpec, episode_limit, spec_of
from .cartpole import CartPoleCollector, can_play
from .collector import Collector, one_seed_each
from .vector import VectorCollector

Vector = VectorEnv[Any, Any, Any]

# Environments that play an evaluation, where they are made here.
_EVALUATION_ENVS = 10


@dataclass(frozen=True)
class Played:
    """What an agent plays.

    Attributes:
        source: Makes environments, where they are not handed in as objects.
        environments: The training environments that were handed in; None where they are to be made.
        evaluation_environments: Those of evaluations, likewise.
        autoreset_mode: How the environments that were handed in begin new episodes; None for what they say.
    """

    source: EnvironmentSource
    environments: Vector | None = None
    evaluation_environments: Vector | None = None
    autoreset_mode: AutoresetMode | str | None = None

    def describe(self) -> EnvironmentSpec:
        """Return what the agent must know of an environment.

        Raises:
            UnknownEnvironmentError: If it cannot be made.
            UnsupportedSpaceError: If the agent cannot learn from its observations, or choose its actions.
        """
        if self.environments is not None:
            return spec_of(self.environments)
        return self.source.describe()


def played_by(
    config: PPOConfig,
    environments: Vector | None = None,
    make_env: Callable[[], gymnasium.Env[Any, Any]] | None = None,
    evaluation_environments: Vector | None = None,
    autoreset_mode: AutoresetMode | str | None = None,
) -> Played:
    """Return what an agent is to play: what is handed to it, else what its configuration names.

    Raises:
        TypeError: If an argument is no vector environment or no function.
        ValueError: If the arguments do not fit together.
    """
    for name, given in (("environments", environments), ("evaluation_environments", evaluation_environments)):
        if given is not None and not isinstance(given, VectorEnv):
            raise TypeError(f"{name} must be a gymnasium.vector.VectorEnv, got {given!r}.")
    if make_env is not None and not callable(make_env):
        raise TypeError(f"make_env must be a function that returns an environment, got {make_env!r}.")
    if environments is None:
        if autoreset_mode is not None:
            raise ValueError("autoreset_mode is that of environments, which were not given.")
        source = source_of(config) if make_env is None else EnvironmentSource(None, make_env=make_env)
        if source.env_id is None and make_env is None:
            raise ValueError("env_id is None: environments or make_env must be given.")
        return Played(source, None, evaluation_environments)
    if environments.num_envs != config.num_envs:
        raise ValueError(f"num_envs must be that of environments, {environments.num_envs}, got {config.num_envs}.")
    if config.max_episode_steps != REGISTERED:
        raise ValueError(
            f"max_episode_steps must be 'registered' with environments, whose episodes end as they end, got "
            f"{config.max_episode_steps!r}."
        )
    if make_env is None and evaluation_environments is None:
        raise ValueError("environments needs evaluation_environments or make_env beside it, for evaluations.")
    return Played(EnvironmentSource(None, make_env=make_env), environments, evaluation_environments, autoreset_mode)


def plays_on_the_kernel(config: PPOConfig, played: Played) -> bool:
    """Return whether CartPole's kernel plays."""
    is_handed_in = played.environments is not None or played.evaluation_environments is not None
    return config.vectorization == "auto" and not is_handed_in and can_play(played.source)


def new_collector(
    config: PPOConfig,
    spec: EnvironmentSpec,
    played: Played,
    environment_seed: np.random.SeedSequence,
    action_seed: np.random.SeedSequence,
) -> Collector:
    """Make the training environments, or take those handed in, and reset them.

    Args:
        config: Of the training.
        spec: Of an environment.
        played: What is played.
        environment_seed: Of the environments' streams.
        action_seed: Of the action sampling.
    """
    action_seeds = one_seed_each(action_seed, config.num_envs)
    if plays_on_the_kernel(config, played):
        environment_seeds = one_seed_each(environment_seed, config.num_envs)
        return CartPoleCollector(
            config.num_envs, config.num_steps, episode_limit(config, spec), environment_seeds, action_seeds
        )
    source, evaluation = played.source, played.evaluation_environments
    batch = min(_EVALUATION_ENVS, config.num_envs) if evaluation is None else evaluation.num_envs
    environments = played.environments
    if environments is None:
        environments = source.many(config.num_envs, config.vectorization, config.max_episode_steps)
    return VectorCollector(
        environments,
        spec,
        config.num_steps,
        environment_seed,
        action_seeds,
        is_ours=played.environments is None,
        evaluation_environments=evaluation or (lambda: source.many(batch, config.vectorization)),
        evaluation_batch=batch,
        autoreset_mode=played.autoreset_mode,
    )
