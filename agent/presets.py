"""The presets: settings that go together, as differences from the defaults of ``agent.config.PPOConfig``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Unpack

from .config import PPOConfig, Settings
from .validation import checked_number

_DIFFERENCES: dict[str, Settings] = {
    "fast": {},
    "keras": {
        "num_envs": 1,
        "epochs": 30,
        "steps_per_epoch": 4000,
        "target_return": None,
        "max_episode_steps": None,
        "reset_each_epoch": True,
        "initializer": "glorot_uniform",
        # The example sets lam = 0.97 among its hyperparameters but never passes it on: its buffer runs with the
        # default's 0.95.
        "target_kl": 0.01,
        "policy_learning_rate": 3e-4,
        "value_learning_rate": 1e-3,
        "policy_update_epochs": 80,
        "value_update_epochs": 80,
        "minibatch_size": None,
        "value_target": "rewards_to_go",
    },
    # What CleanRL's and Stable-Baselines3's defaults have in common; where they differ, but for the number of
    # environments, Stable-Baselines3's with discrete actions and CleanRL's with continuous ones.
    "standard": {
        "num_envs": 8,
        "epochs": 489,
        "steps_per_epoch": 2048,
        "policy_learning_rate": 3e-4,
        "value_learning_rate": 3e-4,
        "adam_epsilon": 1e-5,
        "max_gradient_norm": 0.5,
        "normalize_observations": "auto",
        "normalize_rewards": "auto",
        "value_clip_range": "auto",
        "learning_rate_schedule": "auto",
        "advantage_normalization": "minibatch",
        "policy_update_epochs": 10,
        "value_update_epochs": 10,
        "minibatch_size": 64,
    },
}

PRESETS = {name: PPOConfig(preset=name).replace(**differences) for name, differences in _DIFFERENCES.items()}
"""The configurations of the presets by their names; preset ``fast`` as it is for CartPole."""

CARTPOLE_IDS = frozenset({"CartPole-v1", "CartPole-v0", "fastcartpole/CartPole-v1", "fastcartpole/CartPole-v0"})
"""The ids, without a module, of the environments that preset ``fast`` is for."""

TUNED: dict[str, Settings] = {
    "Acrobot-v1": {
        "num_envs": 16,
        "epochs": 122,
        "steps_per_epoch": 4096,
        "target_return": -80.0,
        "gae_lambda": 0.94,
        "policy_learning_rate": 1e-3,
        "value_learning_rate": 1e-3,
        "learning_rate_schedule": "linear",
    },
    # Longer episodes than the 200 steps of evaluations: within these, the goal is first found by luck alone.
    "MountainCar-v0": {
        "num_envs": 16,
        "epochs": 245,
        "steps_per_epoch": 4096,
        "max_episode_steps": 1000,
        "gamma": 0.999,
        "policy_learning_rate": 2e-3,
        "value_learning_rate": 2e-3,
        "learning_rate_schedule": "linear",
    },
    "LunarLander-v3": {
        "num_envs": 16,
        "epochs": 123,
        "steps_per_epoch": 8192,
        "target_return": 240.0,
        "gamma": 0.999,
        "gae_lambda": 0.98,
        "policy_learning_rate": 1e-3,
        "value_learning_rate": 1e-3,
        "learning_rate_schedule": "linear",
        "entropy_coefficient": 0.01,
        "minibatch_size": 256,
    },
    "LunarLanderContinuous-v3": {
        "num_envs": 16,
        "epochs": 122,
        "steps_per_epoch": 8192,
        "target_return": 260.0,
        "gamma": 0.999,
        "gae_lambda": 0.98,
        "value_clip_range": None,
        "policy_learning_rate": 1e-3,
        "value_learning_rate": 1e-3,
        "learning_rate_schedule": "linear",
        "minibatch_size": 256,
    },
    "Pendulum-v1": {
        "num_envs": 4,
        "epochs": 48,
        "steps_per_epoch": 4096,
        "exploration": "state_dependent",
        "initial_log_std": -1.0,
        "noise_interval": 4,
        "gamma": 0.9,
        "value_clip_range": None,
        "policy_learning_rate": 3e-4,
        "value_learning_rate": 1e-3,
        "learning_rate_schedule": "linear",
    },
    # The flag is out of reach of noise that is independent from step to step.
    "MountainCarContinuous-v0": {
        "num_envs": 16,
        "epochs": 122,
        "steps_per_epoch": 4096,
        "exploration": "state_dependent",
        "initial_log_std": -1.0,
        "gamma": 0.9999,
        "value_clip_range": None,
        "policy_learning_rate": 3e-4,
        "value_learning_rate": 1e-3,
        "learning_rate_schedule": "linear",
    },
    "BipedalWalker-v3": {
        "num_envs": 32,
        "epochs": 100,
        "steps_per_epoch": 16384,
        "gamma": 0.999,
        "clip_ratio": 0.18,
        "value_clip_range": None,
        "policy_learning_rate": 1e-3,
        "value_learning_rate": 1e-3,
        "learning_rate_schedule": "linear",
        "minibatch_size": 256,
    },
}
"""Preset ``fast`` for environments beside CartPole, as differences from preset ``standard``."""

# Ids for which keyword arguments make another environment, and what that is called.
_BY_KEYWORDS = {("LunarLander-v3", "continuous"): "LunarLanderContinuous-v3"}

# With preset ``fast``: steps of one environment in a rollout of up to so many transitions, and least steps in a larger
# one; least transitions of a rollout and of a minibatch; minibatches of an update. An environment's late states are
# seen only after many rollouts if these are short; beyond this number of gradient steps an update takes more time than
# it saves.
_NUM_STEPS, _ROLLOUT = 32, 2048
_LEAST_NUM_STEPS = 16
_LEAST_ROLLOUT = 1024
_LEAST_MINIBATCH = 64
_GRADIENT_STEPS = 32


def preset_config(name: str = "fast", *, learning_rate: float | None = None, **changes: Unpack[Settings]) -> PPOConfig:
    """Return a preset with exactly these fields changed; see ``adapted_preset``, too.

    Args:
        name: ``fast``, ``keras`` or ``standard``. Preset ``fast`` has settings for each environment in ``TUNED``
            and for CartPole; for any other it is preset ``standard``.
        learning_rate: In the place of both ``policy_learning_rate`` and ``value_learning_rate``.
        changes: Fields of ``agent.config.PPOConfig`` and their values.

    Raises:
        TypeError: If a field has the wrong type.
        ValueError: If there is no such preset, or a field is out of its range.
    """
    if name not in PRESETS:
        raise ValueError(f"preset must be one of {', '.join(PRESETS)}, got {name!r}.")
    changes = _with_rates(changes, learning_rate)
    if changes.get("exploration") == "independent":
        # The interval of a preset's goes with its exploration.
        changes = {"noise_interval": None, **changes}
    env_kwargs = changes.get("env_kwargs", {})
    return _preset_for(name, changes.get("env_id", PPOConfig.env_id), env_kwargs).replace(**changes)


def _with_rates(changes: Settings, learning_rate: float | None) -> Settings:
    """Return changes with both learning rates set, where one stands for both.

    Raises:
        ValueError: If one of the two is changed as well.
    """
    if learning_rate is None:
        return changes
    for name in ("policy_learning_rate", "value_learning_rate"):
        if name in changes:
            raise ValueError(f"learning_rate and {name} exclude each other.")
    checked_number("learning_rate", learning_rate, above=0.0)
    return {**changes, "policy_learning_rate": learning_rate, "value_learning_rate": learning_rate}


def _preset_for(name: str, env_id: str | None, env_kwargs: object) -> PPOConfig:
    """Return a preset as it is for an environment."""
    registered = _without_module(env_id)
    if isinstance(env_kwargs, Mapping):
        for (plain, keyword), other in _BY_KEYWORDS.items():
            registered = other if registered == plain and env_kwargs.get(keyword) else registered
    if name != "fast" or registered in CARTPOLE_IDS:
        return PRESETS[name]
    if registered in TUNED:
        return PRESETS["standard"].replace(**TUNED[registered]).replace(preset=name)
    return PRESETS["standard"]


def _without_module(env_id: object) -> str:
    return str(env_id).rpartition(":")[2]


def adapted_preset(name: str = "fast", *, learning_rate: float | None = None, **changes: Unpack[Settings]) -> PPOConfig:
    """Return a preset with some fields changed and, as ``fastppo train`` does, others adapted to them.

    Preset ``fast`` adapts, for CartPole, to the number of environments and to the size of the rollout: about 32
    gradient steps an update, in minibatches of at least 64 transitions. What is given stays as given.

    Args:
        name: ``fast``, ``keras`` or ``standard``.
        learning_rate: In the place of both ``policy_learning_rate`` and ``value_learning_rate``.
        changes: Fields of ``PPOConfig`` and their values.

    Raises:
        TypeError: If a field has the wrong type.
        ValueError: If there is no such preset, or a field is out of its range.
    """
    changes = _with_rates(changes, learning_rate)
    if name != "fast" or _without_module(changes.get("env_id", PPOConfig.env_id)) not in CARTPOLE_IDS:
        return preset_config(name, **changes)
    # Without the preset's minibatches, which a rollout of another size may be too large for.
    whole: Settings = {"minibatch_size": None, **changes}
    config = preset_config(name, **whole)
    adapted: Settings = {**_adapted(config, changes), **changes}
    return config.replace(**adapted)


def _adapted(config: PPOConfig, changes: Settings) -> Settings:
    """Return rollout, minibatch and passes of preset ``fast`` for the number of environments."""
    sized = config
    if "steps_per_epoch" not in changes:
        whole = min(_ROLLOUT, _NUM_STEPS * config.num_envs)
        sized = config.replace(steps_per_epoch=max(_LEAST_ROLLOUT, whole, _LEAST_NUM_STEPS * config.num_envs))
    passes = max(1, _GRADIENT_STEPS * _LEAST_MINIBATCH // sized.rollout_size)
    return {
        "steps_per_epoch": sized.steps_per_epoch,
        "minibatch_size": max(_LEAST_MINIBATCH, passes * sized.rollout_size // _GRADIENT_STEPS),
        "policy_update_epochs": passes,
        "value_update_epochs": passes,
    }
