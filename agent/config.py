"""The configuration of a training run. Imports nothing heavy, to keep help texts fast."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from typing import Any, Literal, TypedDict, Unpack, get_args

from .validation import checked_integer, checked_number, plain_number, unknown_name

ValueTarget = Literal["rewards_to_go", "lambda_returns"]
Activation = Literal["tanh", "relu", "elu", "silu"]
Initializer = Literal["glorot_uniform", "orthogonal"]
Schedule = Literal["constant", "linear"]
AdvantageNormalization = Literal["rollout", "minibatch", "none"]
Device = Literal["cpu", "gpu"]
Vectorization = Literal["auto", "sync", "async", "vector_entry_point"]
Exploration = Literal["independent", "state_dependent"]
KlCheck = Literal["gradient_step", "pass"]
Auto = Literal["auto"]
Registered = Literal["registered"]
EpisodeLimit = int | Registered | None

REGISTERED: Registered = "registered"
"""Instead of a number: the value in Gymnasium's registry."""

AUTO: Auto = "auto"
"""Instead of a value: chosen by whether the environment's actions are discrete or continuous."""

CHOICES: dict[str, tuple[str, ...]] = {
    "activation": get_args(Activation),
    "initializer": get_args(Initializer),
    "value_target": get_args(ValueTarget),
    "advantage_normalization": get_args(AdvantageNormalization),
    "learning_rate_schedule": (*get_args(Schedule), AUTO),
    "clip_ratio_schedule": get_args(Schedule),
    "target_kl_check": get_args(KlCheck),
    "exploration": get_args(Exploration),
    "device": get_args(Device),
    "vectorization": get_args(Vectorization),
}

# Older runs were saved without these fields. They trained with today's defaults.
_NOT_IN_OLDER_RUNS = frozenset(
    {
        *("activation", "adam_epsilon", "clip_ratio_schedule", "critic_hidden_sizes", "device", "env_id", "env_kwargs"),
        *("exploration", "initial_log_std", "noise_interval", "normalize_observations", "normalize_rewards"),
        *("target_kl_check", "value_clip_range", "vectorization"),
    }
)
LOWEST_LOG_STD, HIGHEST_LOG_STD = -16.0, 10.0
"""Range of log standard deviations in which a policy can learn. Below it, actions are all equal in single precision;
above it, the mean no longer matters."""

# TensorFlow counts gradient steps in 32 bits.
_MAX_GRADIENT_STEPS = 2**31 - 1


class Settings(TypedDict, total=False):
    """The fields of ``PPOConfig`` as keyword arguments, for type checkers and editors."""

    preset: str
    seed: int
    env_id: str | None
    env_kwargs: dict[str, Any]
    vectorization: Vectorization
    num_envs: int
    epochs: int
    steps_per_epoch: int
    target_return: float | Registered | None
    max_episode_steps: EpisodeLimit
    reset_each_epoch: bool
    hidden_sizes: tuple[int, ...]
    critic_hidden_sizes: tuple[int, ...] | None
    activation: Activation
    initializer: Initializer
    exploration: Exploration
    initial_log_std: float
    noise_interval: int | None
    normalize_observations: bool | Auto
    normalize_rewards: bool | Auto
    gamma: float
    gae_lambda: float
    clip_ratio: float
    clip_ratio_schedule: Schedule
    value_clip_range: float | Auto | None
    target_kl: float | None
    target_kl_check: KlCheck
    policy_learning_rate: float
    value_learning_rate: float
    adam_epsilon: float
    learning_rate_schedule: Schedule | Auto
    max_gradient_norm: float | None
    entropy_coefficient: float
    advantage_normalization: AdvantageNormalization
    policy_update_epochs: int
    value_update_epochs: int
    minibatch_size: int | None
    value_target: ValueTarget
    device: Device


@dataclass(frozen=True)
class PPOConfig:
    """All settings of a training run. They are checked on construction; the defaults are those of preset ``fast``.

    Attributes:
        preset: Name of the preset the run started from.
        seed: Seed for initial weights, initial states, sampled actions and minibatches; at least 0.
        env_id: Environment id in Gymnasium's registry; ``module:id`` imports the module first. None if the environment
            is passed to the agent as an object or a function.
        env_kwargs: Keyword arguments of the environment; JSON-serializable.
        vectorization: How environments are vectorized, in the terms of ``gymnasium.make_vec``. With ``auto``, CartPole
            uses fastppo's kernel; other environments use their own vectorized version if they have one, else ``sync``.
        num_envs: Number of parallel environments.
        epochs: Maximum number of epochs; an epoch collects one rollout and updates both networks from it.
        target_return: Stop training once the greedy policy reaches this mean return. None trains for all epochs;
            ``registered`` uses Gymnasium's reward threshold, or None if the environment has none. On CartPole, where
            greedy episodes cost next to nothing, every promising policy is tested, and its mean return must exceed the
            target by a margin. In other environments it is tested once the mean return of the last 100 training
            episodes reaches the target.
        steps_per_epoch: Environment steps per rollout, summed over all environments; rounded up to a multiple of
            ``num_envs``.
        max_episode_steps: Time limit of training episodes in steps, after which they are truncated. None for no limit;
            ``registered`` uses Gymnasium's limit. Evaluations always use the registered limit.
        reset_each_epoch: Whether every rollout starts new episodes, cutting off the running ones, or continues the
            episodes of the previous rollout.
        hidden_sizes: Units of each hidden layer.
        critic_hidden_sizes: Units of each hidden layer of the critic; None uses ``hidden_sizes``.
        activation: Activation function of the hidden layers.
        initializer: Kernel initializer: Keras' default, or orthogonal with gain sqrt(2) in hidden layers, 0.01 in the
            actor's output layer and 1 in the critic's (Huang et al., "The 37 Implementation Details of PPO", 2022,
            detail 2).
        exploration: Noise of continuous actions: independent at every step, or a function of the state (gSDE; Raffin et
            al., "Smooth Exploration for Robotic Reinforcement Learning", 2021).
        initial_log_std: Initial log standard deviation of continuous actions; with state-dependent exploration, of each
            weight of the noise.
        noise_interval: Steps between new noise samples of state-dependent exploration; None samples once per rollout.
        normalize_observations: Whether to normalize observations by their running mean and standard deviation, and to
            clip them to 10 standard deviations. ``auto`` normalizes if actions are continuous.
        normalize_rewards: Whether to divide rewards by the running standard deviation of their discounted sum, and to
            clip them to 10 (Engstrom et al. 2020, section 3). ``auto`` normalizes if actions are continuous. Reported
            returns are always of the environment's own rewards.
        gamma: Discount factor, in (0, 1].
        gae_lambda: Lambda of generalized advantage estimation (GAE), in [0, 1] (Schulman et al. 2016).
        clip_ratio: Epsilon of the clipped objective (Schulman et al. 2017, equation 7).
        clip_ratio_schedule: Whether ``clip_ratio`` and ``value_clip_range`` stay constant or fall linearly from epoch
            to epoch, reaching 0 after the last one.
        value_clip_range: Clips the critic's new value to this distance from its value before the update; the loss is
            the larger of the clipped and the unclipped one (Huang et al. 2022, detail 9). None disables clipping;
            ``auto`` is 0.2 if actions are continuous, else None.
        target_kl: Stop updating the policy when the estimated KL divergence exceeds 1.5 times this value; None never
            stops early.
        target_kl_check: Whether to check ``target_kl`` after each gradient step or after each pass over the rollout.
        policy_learning_rate: Adam's learning rate for the actor.
        value_learning_rate: Adam's learning rate for the critic.
        adam_epsilon: Adam's epsilon, which keeps updates finite when gradients vanish.
        learning_rate_schedule: Whether both learning rates stay constant or fall linearly from epoch to epoch, reaching
            0 after the last one. ``auto`` is ``linear`` if actions are continuous, else ``constant``.
        max_gradient_norm: Clips each network's gradient to this global norm; None disables clipping.
        entropy_coefficient: Weight of the policy's mean entropy in the actor's objective (Schulman et al. 2017,
            equation 9); at least 0.
        advantage_normalization: Whether to normalize advantages to mean 0 and standard deviation 1 over the rollout,
            over each minibatch, or not at all.
        policy_update_epochs: Passes over the rollout per update of the actor.
        value_update_epochs: Passes over the rollout per update of the critic.
        minibatch_size: Transitions per gradient step; None uses the whole rollout. Each pass drops the transitions that
            do not fill a minibatch.
        value_target: What the critic learns: discounted rewards-to-go, or lambda-returns (advantage + value).
        device: Where the networks are updated. Networks this small are not expected to gain from a GPU; rollouts
            always run on the CPU.
    """

    preset: str = "fast"
    seed: int = 0
    env_id: str | None = "CartPole-v1"
    env_kwargs: dict[str, Any] = dataclasses.field(default_factory=dict, hash=False)
    vectorization: Vectorization = "auto"
    num_envs: int = 256
    epochs: int = 200
    steps_per_epoch: int = 4096
    target_return: float | Registered | None = REGISTERED
    max_episode_steps: EpisodeLimit = REGISTERED
    reset_each_epoch: bool = False
    hidden_sizes: tuple[int, ...] = (64, 64)
    critic_hidden_sizes: tuple[int, ...] | None = None
    activation: Activation = "tanh"
    initializer: Initializer = "orthogonal"
    exploration: Exploration = "independent"
    initial_log_std: float = 0.0
    noise_interval: int | None = None
    normalize_observations: bool | Auto = False
    normalize_rewards: bool | Auto = False
    gamma: float = 0.99
    gae_lambda: float = 0.95
    clip_ratio: float = 0.2
    clip_ratio_schedule: Schedule = "constant"
    value_clip_range: float | Auto | None = None
    target_kl: float | None = None
    target_kl_check: KlCheck = "gradient_step"
    policy_learning_rate: float = 4e-3
    value_learning_rate: float = 4e-3
    adam_epsilon: float = 1e-7
    learning_rate_schedule: Schedule | Auto = "constant"
    max_gradient_norm: float | None = None
    entropy_coefficient: float = 0.0
    advantage_normalization: AdvantageNormalization = "rollout"
    policy_update_epochs: int = 1
    value_update_epochs: int = 1
    minibatch_size: int | None = 128
    value_target: ValueTarget = "lambda_returns"
    device: Device = "cpu"

    def __post_init__(self) -> None:
        """Check every field and convert NumPy numbers to Python's.

        Raises:
            TypeError: If a field has the wrong type.
            ValueError: If a field is out of range.
        """
        for field in dataclasses.fields(self):
            object.__setattr__(self, field.name, _plain(getattr(self, field.name)))
        for name in ("hidden_sizes", "critic_hidden_sizes"):
            if isinstance(getattr(self, name), list):
                object.__setattr__(self, name, _plain(tuple(getattr(self, name))))
        if not isinstance(self.preset, str):
            raise TypeError(f"preset must be a string, got {self.preset!r}.")
        if not isinstance(self.reset_each_epoch, bool):
            raise TypeError(f"reset_each_epoch must be True or False, got {self.reset_each_epoch!r}.")
        if self.env_id is not None and not isinstance(self.env_id, str):
            raise TypeError(f"env_id must be a string, got {self.env_id!r}.")
        object.__setattr__(self, "env_kwargs", _json_object("env_kwargs", self.env_kwargs))
        checked_integer("seed", self.seed, minimum=0, maximum=None)
        for name in ("num_envs", "epochs", "steps_per_epoch", "policy_update_epochs", "value_update_epochs"):
            checked_integer(name, getattr(self, name), minimum=1)
        if _is_given(self.max_episode_steps, REGISTERED):
            checked_integer("max_episode_steps", self.max_episode_steps, minimum=1, maximum=None)
        for name in ("minibatch_size", "noise_interval"):
            if getattr(self, name) is not None:
                checked_integer(name, getattr(self, name), minimum=1)
        for name in ("normalize_observations", "normalize_rewards"):
            value = getattr(self, name)
            if not isinstance(value, bool) and not (isinstance(value, str) and value == AUTO):
                raise TypeError(f"{name} must be True, False or {AUTO!r}, got {value!r}.")
        for name, sizes in (("hidden_sizes", self.hidden_sizes), ("critic_hidden_sizes", self.critic_sizes)):
            if not isinstance(sizes, tuple) or not sizes:
                raise TypeError(f"{name} must be a non-empty tuple of integers, got {sizes!r}.")
            for size in sizes:
                checked_integer(name, size, minimum=1)
        checked_number("gamma", self.gamma, above=0.0, maximum=1.0)
        checked_number("gae_lambda", self.gae_lambda, minimum=0.0, maximum=1.0)
        for name in ("clip_ratio", "policy_learning_rate", "value_learning_rate", "adam_epsilon"):
            checked_number(name, getattr(self, name), above=0.0)
        for name in ("target_kl", "max_gradient_norm"):
            if getattr(self, name) is not None:
                checked_number(name, getattr(self, name), above=0.0)
        if _is_given(self.value_clip_range, AUTO):
            checked_number("value_clip_range", self.value_clip_range, above=0.0)
        if _is_given(self.target_return, REGISTERED):
            checked_number("target_return", self.target_return)
        checked_number("entropy_coefficient", self.entropy_coefficient, minimum=0.0)
        checked_number("initial_log_std", self.initial_log_std, minimum=LOWEST_LOG_STD, maximum=HIGHEST_LOG_STD)
        for name in ("policy_iterations", "value_iterations"):
            if getattr(self, name) > _MAX_GRADIENT_STEPS:
                raise ValueError(
                    f"{name.replace('iterations', 'update_epochs')} make {getattr(self, name)} gradient steps an "
                    f"update, at most {_MAX_GRADIENT_STEPS} are possible."
                )
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} must be one of {', '.join(choices)}, got {getattr(self, name)!r}.")
        if self.noise_interval is not None and self.exploration != "state_dependent":
            raise ValueError(f"noise_interval must be None with independent exploration, got {self.noise_interval!r}.")

    @property
    def critic_sizes(self) -> tuple[int, ...]:
        """Units of the critic's hidden layers."""
        return self.hidden_sizes if self.critic_hidden_sizes is None else self.critic_hidden_sizes

    @property
    def num_steps(self) -> int:
        """Steps per environment in one rollout."""
        return -(-self.steps_per_epoch // self.num_envs)

    @property
    def rollout_size(self) -> int:
        """Transitions in one rollout, summed over all environments."""
        return self.num_steps * self.num_envs

    @property
    def total_steps(self) -> int:
        """Environment steps of the whole training run if nothing ends it early."""
        return self.epochs * self.rollout_size

    @property
    def gradient_batch_size(self) -> int:
        """Transitions per gradient step."""
        return self.rollout_size if self.minibatch_size is None else min(self.minibatch_size, self.rollout_size)

    @property
    def num_minibatches(self) -> int:
        """Gradient steps per pass over the rollout."""
        return self.rollout_size // self.gradient_batch_size

    @property
    def policy_iterations(self) -> int:
        """Maximum number of gradient steps of the actor per update."""
        return self.policy_update_epochs * self.num_minibatches

    @property
    def value_iterations(self) -> int:
        """Gradient steps of the critic per update."""
        return self.value_update_epochs * self.num_minibatches

    @property
    def kl_check_interval(self) -> int:
        """Gradient steps of the actor between two checks of the KL divergence."""
        return self.num_minibatches if self.target_kl_check == "pass" else 1

    @property
    def compiled_settings(self) -> tuple[object, ...]:
        """The shapes and structure that the compiled update depends on, apart from the environment's spaces.

        Runs with equal compiled settings, in environments with observations and actions of the same sizes, can share
        compiled code.
        """
        return (
            self.rollout_size,
            self.gradient_batch_size,
            max(self.policy_update_epochs, self.value_update_epochs),
            self.hidden_sizes,
            self.critic_sizes,
            self.activation,
            self.exploration,
            self.advantage_normalization == "minibatch",
            self.value_clip_range is None,
            self.device,
        )

    @property
    def kl_threshold(self) -> float:
        """Estimated KL divergence at which updates of the policy stop; infinite if ``target_kl`` is None."""
        return math.inf if self.target_kl is None else 1.5 * self.target_kl

    def __repr__(self) -> str:
        """Return the fields that differ from their defaults, as a Python expression for this configuration."""
        default = PPOConfig()
        fields = [(field.name, getattr(self, field.name)) for field in dataclasses.fields(self)]
        return (
            f"PPOConfig({', '.join(f'{name}={value!r}' for name, value in fields if value != getattr(default, name))})"
        )

    def replace(self, **changes: Unpack[Settings]) -> PPOConfig:
        """Return a copy with exactly these fields changed, and check it.

        Args:
            changes: Fields and their new values.

        Raises:
            TypeError: If a field does not exist or has the wrong type.
            ValueError: If a field is out of range.
        """
        for name in changes:
            if name not in _FIELDS:
                raise TypeError(unknown_name("setting", name, _FIELDS))
        return dataclasses.replace(self, **changes)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> PPOConfig:
        """Return the configuration that ``as_dict`` returned, and check it.

        Args:
            fields: Fields by name, also as read from JSON.

        Raises:
            TypeError: If a field has the wrong type.
            ValueError: If a field is missing, unknown or out of range.
        """
        if missing := [name for name in _FIELDS if name not in fields and name not in _NOT_IN_OLDER_RUNS]:
            raise ValueError(f"the configuration lacks {', '.join(missing)}.")
        if unknown := [name for name in fields if name not in _FIELDS]:
            raise ValueError(f"the configuration holds {', '.join(unknown)}, which this version does not know.")
        # JSON has lists for tuples.
        values: Any = {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
        return cls(**values)

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-serializable values."""
        return dataclasses.asdict(self)


_FIELDS = tuple(field.name for field in dataclasses.fields(PPOConfig))


def _plain(value: Any) -> Any:
    """Convert a NumPy number, or those in a tuple, to Python's; return anything else unchanged."""
    return tuple(map(plain_number, value)) if isinstance(value, tuple) else plain_number(value)


def _is_given(value: object, word: str) -> bool:
    """Return whether a field holds an actual value: not None, nor the word that leaves it to the environment."""
    return value is not None and not (isinstance(value, str) and value == word)


def _number_of_numpy(value: Any) -> Any:
    """Convert a NumPy number to Python's.

    Raises:
        TypeError: If the value is anything else.
    """
    number = plain_number(value)
    if number is value:
        raise TypeError(f"an object of type {type(value).__name__} is not JSON-serializable")
    return number


def _json_object(name: str, value: object) -> dict[str, Any]:
    """Return a copy of a JSON-serializable mapping.

    Raises:
        TypeError: If the value is anything else.
    """
    try:
        copy = json.loads(json.dumps(value, allow_nan=False, default=_number_of_numpy))
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must be JSON-serializable: {error}.") from None
    if not isinstance(copy, dict):
        raise TypeError(f"{name} must be a dictionary, got {value!r}.")
    return copy
