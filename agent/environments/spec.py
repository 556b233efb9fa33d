"""The properties of an environment that an agent needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gymnasium
from gymnasium.spaces import Box

from ..config import AUTO, REGISTERED, PPOConfig, Settings
from ..errors import EnvironmentUseError, UnsupportedSpaceError
from .heads import ActionHead, action_head
from .spaces import SUPPORTED_OBSERVATIONS, is_flat, observation_size

# Defaults that depend on the action space; those for continuous actions follow CleanRL's ``ppo_continuous_action.py``.
_CONTINUOUS: Settings = {
    "normalize_observations": True,
    "normalize_rewards": True,
    "learning_rate_schedule": "linear",
    "value_clip_range": 0.2,
}
_DISCRETE: Settings = {
    "normalize_observations": False,
    "normalize_rewards": False,
    "learning_rate_schedule": "constant",
    "value_clip_range": None,
}


@dataclass(frozen=True)
class EnvironmentSpec:
    """The properties of an environment that an agent needs.

    Attributes:
        name: The registered id or, if there is none, the name of the class.
        observation_space: Space of one observation.
        action_space: Space of one action.
        observation_size: Length D of an observation as a vector.
        action_head: Action head that interprets the actor's outputs.
        max_episode_steps: Number of steps after which episodes are truncated; None if there is no limit or it is
            unknown.
        reward_threshold: Mean return at which the environment counts as solved; None if unknown.
        frames_per_second: Frame rate of rendering in real time; None if unknown.
        render_modes: Supported render modes.
    """

    name: str
    observation_space: gymnasium.Space[Any]
    action_space: gymnasium.Space[Any]
    observation_size: int
    action_head: ActionHead
    max_episode_steps: int | None
    reward_threshold: float | None
    frames_per_second: float | None
    render_modes: tuple[str, ...]

    @property
    def spaces(self) -> dict[str, Any]:
        """The properties on which a network's shape depends, for JSON."""
        return {"observation_size": self.observation_size, **self.action_head.description}

    @property
    def observation_shape(self) -> tuple[int, ...]:
        """The shape of one observation that a custom network may accept instead of a vector; ``()`` if none."""
        return (self.observation_space.shape or ()) if isinstance(self.observation_space, Box) else ()

    def assert_takes_vectors(self) -> None:
        """Check that observations are suitable as vectors, which the agent's built-in networks require.

        Raises:
            UnsupportedSpaceError: If observations are images.
        """
        if not is_flat(self.observation_space):
            raise UnsupportedSpaceError(
                f"the observation space {self.observation_space} is not supported by the networks that are built for "
                f"an agent: {SUPPORTED_OBSERVATIONS}. Custom networks may take it: PPO(config, actor=..., "
                "critic=...)."
            )

    @property
    def draws_images(self) -> bool:
        """Whether the environment can be rendered as images."""
        return "rgb_array" in self.render_modes


def spec_of(environment: gymnasium.Env[Any, Any] | gymnasium.vector.VectorEnv[Any, Any, Any]) -> EnvironmentSpec:
    """Return the properties of an environment, or of the single environments of a vector environment.

    Raises:
        UnsupportedSpaceError: If the agent cannot learn from its observations, or choose its actions.
    """
    if isinstance(environment, gymnasium.vector.VectorEnv):
        observations, actions = environment.single_observation_space, environment.single_action_space
    else:
        observations, actions = environment.observation_space, environment.action_space
    registered = _registered(environment)
    limit = getattr(registered, "max_episode_steps", None)
    threshold = getattr(registered, "reward_threshold", None)
    metadata = environment.metadata or {}
    frame_rate = metadata.get("render_fps")
    return EnvironmentSpec(
        name=name_of(environment),
        observation_space=observations,
        action_space=actions,
        observation_size=observation_size(observations),
        action_head=action_head(actions),
        max_episode_steps=int(limit) if limit is not None and limit > 0 else None,
        reward_threshold=None if threshold is None else float(threshold),
        frames_per_second=float(frame_rate) if frame_rate else None,
        render_modes=tuple(map(str, metadata.get("render_modes", ()))),
    )


def name_of(environment: gymnasium.Env[Any, Any] | gymnasium.vector.VectorEnv[Any, Any, Any]) -> str:
    """Return the registered id of an environment or, if there is none, the name of its class."""
    return getattr(_registered(environment), "id", None) or type(_one_of(environment).unwrapped).__name__


def _one_of(environment: Any) -> Any:
    """Return one of the environments of a vector environment if accessible, otherwise the environment itself."""
    single = getattr(environment.unwrapped, "envs", None)
    return single[0] if single else environment


def _registered(environment: Any) -> Any:
    """Return the registry entry of an environment, or of those in a vector environment; None if there is none."""
    own = getattr(environment, "spec", None)
    return getattr(_one_of(environment), "spec", None) if own is None else own


def episode_limit(config: PPOConfig, spec: EnvironmentSpec) -> int | None:
    """Return the number of steps after which the training truncates episodes; None for no limit."""
    return spec.max_episode_steps if config.max_episode_steps == REGISTERED else config.max_episode_steps


def target_return(config: PPOConfig, spec: EnvironmentSpec) -> float | None:
    """Return the mean return at which the training ends; None if it has no target."""
    return spec.reward_threshold if config.target_return == REGISTERED else config.target_return


def resolved(config: PPOConfig, spec: EnvironmentSpec) -> PPOConfig:
    """Return the configuration with all settings filled in that it leaves to the environment.

    These are the time limit, the target return, and defaults that depend on the action space.

    Args:
        config: The configuration to complete.
        spec: Properties of the environment.

    Raises:
        EnvironmentUseError: If a setting has no effect on actions of this kind.
    """
    is_continuous = spec.action_head.is_continuous
    for name in ("exploration", "initial_log_std", "noise_interval"):
        default = getattr(PPOConfig, name)
        if not is_continuous and getattr(config, name) != default:
            raise EnvironmentUseError(
                f"{name} must be {default!r} in {spec.name}, whose actions are not continuous, got "
                f"{getattr(config, name)!r}."
            )

    suitable: Settings = _CONTINUOUS if is_continuous else _DISCRETE
    left_open = {name: value for name, value in suitable.items() if getattr(config, name) == AUTO}
    changes: Settings = {
        "max_episode_steps": episode_limit(config, spec),
        "target_return": target_return(config, spec),
        **left_open,  # type: ignore[typeddict-item]
    }
    return config.replace(**changes)
