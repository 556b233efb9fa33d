"""What an agent must know of an environment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gymnasium
from gymnasium.spaces import Box

from ..config import AUTO, REGISTERED, PPOConfig, Settings
from ..errors import EnvironmentUseError, UnsupportedSpaceError
from .heads import ActionHead, action_head
from .spaces import SUPPORTED_OBSERVATIONS, is_flat, observation_size

# What is left to the environment's actions: with continuous ones, as in CleanRL's ``ppo_continuous_action.py``.
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
    """What an agent must know of an environment. An environment has to be made for it, once.

    Attributes:
        name: The id it is registered under, else the name of its class.
        observation_space: Of one observation.
        action_space: Of one action.
        observation_size: Length D of an observation as a vector.
        action_head: What the actor's outputs mean.
        max_episode_steps: Length at which its episodes are truncated; None for no limit, or one that is not known.
        reward_threshold: Mean return at which it counts as solved; None where nothing is said.
        frames_per_second: At which it is drawn in real time; None where nothing is said.
        render_modes: How it can draw itself.
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
        """What a network's shape depends on, as JSON has it."""
        return {"observation_size": self.observation_size, **self.action_head.description}

    @property
    def observation_shape(self) -> tuple[int, ...]:
        """The shape that a network of the user's may take one observation in, beside that of a vector."""
        return (self.observation_space.shape or ()) if isinstance(self.observation_space, Box) else ()

    def assert_takes_vectors(self) -> None:
        """Check that observations can be learned from as vectors, as by the agent's own networks.

        Raises:
            UnsupportedSpaceError: If they are images.
        """
        if not is_flat(self.observation_space):
            raise UnsupportedSpaceError(
                f"the observation space {self.observation_space} is not supported by the networks that are built for "
                f"an agent: {SUPPORTED_OBSERVATIONS}. Networks of yours may take it: PPO(config, actor=..., "
                "critic=...)."
            )

    @property
    def draws_images(self) -> bool:
        """Whether the environment can be drawn as images."""
        return "rgb_array" in self.render_modes


def spec_of(environment: gymnasium.Env[Any, Any] | gymnasium.vector.VectorEnv[Any, Any, Any]) -> EnvironmentSpec:
    """Return what an agent must know of an environment, or of those in a vector environment.

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
        name=getattr(registered, "id", None) or type(_one_of(environment).unwrapped).__name__,
        observation_space=observations,
        action_space=actions,
        observation_size=observation_size(observations),
        action_head=action_head(actions),
        max_episode_steps=int(limit) if limit is not None and limit > 0 else None,
        reward_threshold=None if threshold is None else float(threshold),
        frames_per_second=float(frame_rate) if frame_rate else None,
        render_modes=tuple(map(str, metadata.get("render_modes", ()))),
    )


def _one_of(environment: Any) -> Any:
    """Return one of the environments of a vector, where they can be reached; else the environment itself."""
    single = getattr(environment.unwrapped, "envs", None)
    return single[0] if single else environment


def _registered(environment: Any) -> Any:
    """Return the entry of the registry that an environment, or those of a vector, were made from; None if none."""
    own = getattr(environment, "spec", None)
    return getattr(_one_of(environment), "spec", None) if own is None else own


def episode_limit(config: PPOConfig, spec: EnvironmentSpec) -> int | None:
    """Return the length at which episodes of the training are truncated; None for no limit."""
    return spec.max_episode_steps if config.max_episode_steps == REGISTERED else config.max_episode_steps


def target_return(config: PPOConfig, spec: EnvironmentSpec) -> float | None:
    """Return the mean return at which the training ends; None where it has none."""
    return spec.reward_threshold if config.target_return == REGISTERED else config.target_return


def resolved(config: PPOConfig, spec: EnvironmentSpec) -> PPOConfig:
    """Return the configuration with what it leaves to the environment filled in.

    That is the limit of episodes, the target return, and what suits its actions.

    Args:
        config: As asked for.
        spec: Of the environment.

    Raises:
        EnvironmentUseError: If a setting has no effect on such actions.
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
