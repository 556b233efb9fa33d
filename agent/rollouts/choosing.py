"""Choice of the collector: CartPole's kernel if it supports the environment, otherwise a vector environment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv

from ..config import REGISTERED, PPOConfig
from ..environments.guarding import guard, singles_of
from ..environments.making import EnvironmentSource, note_handed_over, source_of
from ..environments.spec import EnvironmentSpec, episode_limit, spec_of
from ..errors import EnvironmentUseError
from .budget import EVALUATION_ENVS
from .cartpole import CartPoleCollector, can_play
from .collector import Collector, one_seed_each
from .stepping import checked_mode
from .vector import VectorCollector

Vector = VectorEnv[Any, Any, Any]


@dataclass(frozen=True)
class Played:
    """The environments of an agent.

    Attributes:
        source: Creates environments that were not passed as objects.
        environments: Training environments passed by the user; None to create them.
        evaluation_environments: Evaluation environments passed by the user; None to create them.
        autoreset_mode: Autoreset mode of vector environments that do not declare one; None if unknown.
    """

    source: EnvironmentSource
    environments: Vector | None = None
    evaluation_environments: Vector | None = None
    autoreset_mode: AutoresetMode | str | None = None

    @property
    def is_handed_in(self) -> bool:
        """Whether environments were passed as objects, which cannot be copied."""
        return self.environments is not None or self.evaluation_environments is not None

    def describe(self) -> EnvironmentSpec:
        """Return the properties of an environment that the agent needs.

        Raises:
            EnvironmentUseError: If an environment cannot be created or used, or if evaluation environments have other
                spaces.
        """
        spec = self.source.describe() if self.environments is None else spec_of(self.environments)
        if self.evaluation_environments is not None:
            checked_mode(self.evaluation_environments, self.autoreset_mode)
            _assert_same_spaces(spec, spec_of(self.evaluation_environments))
        elif self.environments is not None:
            _assert_same_spaces(spec, self.source.describe())
        return spec

    @property
    def handed_over(self) -> tuple[str, ...]:
        """Names of the arguments with which the user passed environments, or a function that creates them."""
        given = {
            "environments": self.environments,
            "make_env": self.source.make_env,
            "evaluation_environments": self.evaluation_environments,
        }
        return tuple(name for name, value in given.items() if value is not None)

    @property
    def is_named(self) -> bool:
        """Whether the environment is that of the configuration, and not one passed by the user."""
        return self.source.env_id is not None and self.environments is None

    def adapted(self, config: PPOConfig) -> PPOConfig:
        """Return the configuration with the versioned ``env_id``, or without one if the user passed the environment."""
        return config.replace(env_id=self.source.env_id if self.is_named else None)

    def with_config(self, config: PPOConfig) -> Played:
        """Return the environments with another configuration; those passed by the user stay the same.

        Raises:
            ValueError: If the configuration does not fit the environments that were passed, or names no environment.
        """
        make_env = None if self.is_named else self.source.make_env
        return played_by(config, self.environments, make_env, self.evaluation_environments, self.autoreset_mode)


def _assert_same_spaces(spec: EnvironmentSpec, of_evaluations: EnvironmentSpec) -> None:
    trained, evaluated = ((other.observation_space, other.action_space) for other in (spec, of_evaluations))
    if (spec.observation_size, spec.action_head) != (of_evaluations.observation_size, of_evaluations.action_head):
        raise EnvironmentUseError(f"evaluations must have the spaces of the training, {trained}, got {evaluated}.")


def played_by(
    config: PPOConfig,
    environments: Vector | None = None,
    make_env: Callable[[], gymnasium.Env[Any, Any]] | None = None,
    evaluation_environments: Vector | None = None,
    autoreset_mode: AutoresetMode | str | None = None,
) -> Played:
    """Return the environments of an agent: those passed to it, otherwise those of its configuration.

    Raises:
        TypeError: If an argument is not a vector environment, or not a function.
        ValueError: If the arguments do not fit together.
    """
    for name, given in (("environments", environments), ("evaluation_environments", evaluation_environments)):
        if given is not None and not isinstance(given, VectorEnv):
            raise TypeError(f"{name} must be a gymnasium.vector.VectorEnv, got {given!r}.")
    if make_env is not None and not callable(make_env):
        raise TypeError(f"make_env must be a function that returns an environment, got {make_env!r}.")
    is_handed_in = environments is not None or make_env is not None
    if is_handed_in and config.env_kwargs:
        raise ValueError(f"env_kwargs apply to env_id only, which is not used here, got {config.env_kwargs!r}.")
    if not is_handed_in and config.env_id is None:
        raise ValueError("env_id is None: environments or make_env must be given.")
    if environments is not None:
        _check_handed_in(config, environments, make_env, evaluation_environments)
    vectors = [vector for vector in (environments, evaluation_environments) if vector is not None]
    singles = [single.unwrapped for vector in vectors for single in singles_of(vector)]
    if len(set(map(id, singles))) < len(singles):
        raise ValueError("environments and evaluation_environments must hold different objects, got one several times.")
    note_handed_over(singles)
    source = source_of(config)
    if is_handed_in:
        source = EnvironmentSource(None, vectorization=config.vectorization, make_env=make_env)
    return Played(source, environments, evaluation_environments, autoreset_mode)


def _check_handed_in(
    config: PPOConfig,
    environments: Vector,
    make_env: Callable[[], gymnasium.Env[Any, Any]] | None,
    evaluation_environments: Vector | None,
) -> None:
    """Check that the other arguments fit environments passed by the user.

    Raises:
        ValueError: If they do not.
    """
    if environments.num_envs != config.num_envs:
        raise ValueError(f"num_envs must be that of environments, {environments.num_envs}, got {config.num_envs}.")
    for name, neutral in (("max_episode_steps", REGISTERED), ("vectorization", "auto")):
        if getattr(config, name) != neutral:
            raise ValueError(
                f"{name} must be {neutral!r} with environments, which are used unchanged, got "
                f"{getattr(config, name)!r}."
            )
    if evaluation_environments is environments:
        raise ValueError("evaluation_environments must differ from environments, which evaluations would disturb.")
    if make_env is None and evaluation_environments is None:
        raise ValueError("environments needs evaluation_environments or make_env, for evaluations.")


def plays_on_the_kernel(config: PPOConfig, played: Played, *, knows_networks: bool = True) -> bool:
    """Return whether CartPole's kernel plays the rollouts.

    Args:
        config: Configuration of the training.
        played: Environments of the agent.
        knows_networks: Whether the kernels support the layers of the actor.
    """
    return knows_networks and config.vectorization == "auto" and not played.is_handed_in and can_play(played.source)


def new_collector(
    config: PPOConfig,
    spec: EnvironmentSpec,
    played: Played,
    environment_seed: np.random.SeedSequence,
    action_seed: np.random.SeedSequence,
    *,
    knows_networks: bool = True,
) -> Collector:
    """Create the training environments, or take those passed by the user, and reset them.

    Args:
        config: Configuration of the training.
        spec: Properties of an environment.
        played: Environments of the agent.
        environment_seed: Seed of the environments.
        action_seed: Seed of action sampling.
        knows_networks: Whether the kernels support the layers of the actor.

    Raises:
        EnvironmentUseError: If the environments cannot be created, or their autoreset mode is unknown.
    """
    action_seeds = one_seed_each(action_seed, config.num_envs)
    if plays_on_the_kernel(config, played, knows_networks=knows_networks):
        environment_seeds = one_seed_each(environment_seed, config.num_envs)
        return CartPoleCollector(
            config.num_envs, config.num_steps, episode_limit(config, spec), environment_seeds, action_seeds
        )
    source, training, evaluation = played.source, played.environments, played.evaluation_environments
    batch = EVALUATION_ENVS if evaluation is None else evaluation.num_envs
    for given in (training, evaluation):
        if given is not None:
            guard(given)
    return VectorCollector(
        partial(source.many, config.num_envs, config.max_episode_steps) if training is None else training,
        spec,
        config.num_steps,
        environment_seed,
        action_seeds,
        evaluation_environments=partial(source.many, batch) if evaluation is None else evaluation,
        evaluation_batch=batch,
        autoreset_mode=played.autoreset_mode,
        noise_interval=config.noise_interval,
    )
