"""The presets, given as differences from the defaults of ``agent.config.PPOConfig``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Unpack

from .config import PPOConfig, Settings
from .environments.ids import versioned
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
        # gae_lambda stays 0.95: the example defines lam = 0.97 but never passes it to its buffer, which defaults to
        # 0.95.
        "target_kl": 0.01,
        "policy_learning_rate": 3e-4,
        "value_learning_rate": 1e-3,
        "policy_update_epochs": 80,
        "value_update_epochs": 80,
        "minibatch_size": None,
        "value_target": "rewards_to_go",
    },
    # The defaults that CleanRL and Stable-Baselines3 share. Apart from the number of environments, where they differ,
    # discrete actions use those of Stable-Baselines3 and continuous ones those of CleanRL.
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
"""The presets by name; preset ``fast`` is the one for CartPole."""

CARTPOLE_IDS = frozenset({"CartPole-v1", "CartPole-v0", "fastcartpole/CartPole-v1", "fastcartpole/CartPole-v0"})
"""Ids, without a module, of the CartPole environments for which preset ``fast`` is defined."""

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
    # Evaluations have 200 steps. Training episodes are longer: within 200 steps, only luck finds the goal at first.
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
    # Noise that is independent at every step never reaches the flag.
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
"""Preset ``fast`` for environments other than CartPole, as differences from preset ``standard``."""

# Keyword arguments that select another tuned environment: (id, argument) and the id of the tuned settings.
_BY_KEYWORDS = {("LunarLander-v3", "continuous"): "LunarLanderContinuous-v3"}

# How preset ``fast`` adapts on CartPole. Each environment takes 32 steps in rollouts of up to 2048 transitions, and at
# least 16 in larger ones: with short rollouts, the late states of an episode appear only after many rollouts. An update
# has about 32 gradient steps: more cost more time than they save.
_NUM_STEPS, _ROLLOUT = 32, 2048
_MIN_NUM_STEPS = 16
_MIN_ROLLOUT = 1024
_MIN_MINIBATCH = 64
_GRADIENT_STEPS = 32


def preset_config(name: str = "fast", *, learning_rate: float | None = None, **changes: Unpack[Settings]) -> PPOConfig:
    """Return a preset with exactly these fields changed; ``adapted_preset`` also adapts the others.

    Args:
        name: ``fast``, ``keras`` or ``standard``. Preset ``fast`` has tuned settings for CartPole and for each
            environment in ``TUNED``; for all others it equals preset ``standard``.
        learning_rate: Sets both ``policy_learning_rate`` and ``value_learning_rate``.
        changes: Fields of ``PPOConfig`` and their new values.

    Raises:
        TypeError: If a field does not exist or has the wrong type.
        ValueError: If the preset does not exist, a field is out of range, or both ``learning_rate`` and a field that it
            sets are given.
    """
    if name not in PRESETS:
        raise ValueError(f"preset must be one of {', '.join(PRESETS)}, got {name!r}.")
    changes = _completed(changes, learning_rate)
    if changes.get("exploration") == "independent":
        # The preset's noise_interval is only allowed with its own, state-dependent exploration.
        changes = {"noise_interval": None, **changes}
    env_kwargs = changes.get("env_kwargs", {})
    return _preset_for(name, changes.get("env_id", PPOConfig.env_id), env_kwargs).replace(**changes)


def _completed(changes: Settings, learning_rate: float | None) -> Settings:
    """Return changes with the version of the environment, and ``learning_rate``, if given, set for both networks.

    Raises:
        ValueError: If one of the two learning rates is given as well.
    """
    env_id = changes.get("env_id")
    if isinstance(env_id, str):
        changes = {**changes, "env_id": versioned(env_id)}
    if learning_rate is None:
        return changes
    for name in ("policy_learning_rate", "value_learning_rate"):
        if name in changes:
            raise ValueError(f"learning_rate and {name} exclude each other.")
    checked_number("learning_rate", learning_rate, above=0.0)
    return {**changes, "policy_learning_rate": learning_rate, "value_learning_rate": learning_rate}


def _preset_for(name: str, env_id: str | None, env_kwargs: object) -> PPOConfig:
    """Return the preset for an environment."""
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
    """Return a preset with some fields changed and others adapted to them, as ``fastppo train`` does.

    On CartPole, preset ``fast`` adapts to the number of environments and the rollout size: about 32 gradient steps per
    update, with minibatches of at least 64 transitions. Fields given in ``changes`` are never adapted.

    Args:
        name: ``fast``, ``keras`` or ``standard``.
        learning_rate: Sets both ``policy_learning_rate`` and ``value_learning_rate``.
        changes: Fields of ``PPOConfig`` and their new values.

    Raises:
        TypeError: If a field does not exist or has the wrong type.
        ValueError: If the preset does not exist, a field is out of range, or both ``learning_rate`` and a field that it
            sets are given.
    """
    changes = _completed(changes, learning_rate)
    if name != "fast" or _without_module(changes.get("env_id", PPOConfig.env_id)) not in CARTPOLE_IDS:
        return preset_config(name, **changes)
    # Without the preset's minibatch size: with it, a larger rollout could exceed the allowed number of gradient steps.
    whole: Settings = {"minibatch_size": None, **changes}
    config = preset_config(name, **whole)
    adapted: Settings = {**_adapted(config, changes), **changes}
    return config.replace(**adapted)


def _adapted(config: PPOConfig, changes: Settings) -> Settings:
    """Return the rollout size, minibatch size and passes of preset ``fast`` for this number of environments."""
    sized = config
    if "steps_per_epoch" not in changes:
        whole = min(_ROLLOUT, _NUM_STEPS * config.num_envs)
        sized = config.replace(steps_per_epoch=max(_MIN_ROLLOUT, whole, _MIN_NUM_STEPS * config.num_envs))
    passes = max(1, _GRADIENT_STEPS * _MIN_MINIBATCH // sized.rollout_size)
    return {
        "steps_per_epoch": sized.steps_per_epoch,
        "minibatch_size": max(_MIN_MINIBATCH, passes * sized.rollout_size // _GRADIENT_STEPS),
        "policy_update_epochs": passes,
        "value_update_epochs": passes,
    }
