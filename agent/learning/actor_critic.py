"""The actor and the critic of an agent: for training, for acting, and as Keras models for the user."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..config import PPOConfig, Settings
from ..environments.heads import CategoricalHead
from ..environments.spec import EnvironmentSpec
from ..kernels.acting import PolicySnapshot
from ..kernels.forward import padded_weights, state_values
from ..kernels.normalizing import Moments
from ..presets import PRESETS, preset_config
from ..process.backend import computing_on, keras, tf
from .flat_weights import WeightReader
from .networks import MLP, Network, build_actor, build_critic, build_gaussian_actor
from .own_networks import OwnNetwork, assert_nothing_is_shared
from .raw_models import RawModel
from .statistics import RunningStatistics

Array = npt.NDArray[np.float32]
Values = Callable[[Array], Array]

# Batch size for calls of a custom critic.
_ROWS_AT_ONCE = 1024


class Snapshot(NamedTuple):
    """A snapshot of both networks.

    Attributes:
        policy: The policy of the actor.
        values: The value function of the critic: maps observations, shape (B, D), to values, shape (B,), float32.
    """

    policy: PolicySnapshot
    values: Values


class ActorCritic:
    """An actor and a critic, built from a configuration or passed by the user.

    Attributes:
        actor: The actor, which is trained on normalized observations.
        critic: The critic, which is trained on normalized observations.
        statistics: Running statistics that normalize observations and rewards.
    """

    def __init__(
        self,
        config: PPOConfig,
        spec: EnvironmentSpec,
        seeds: tuple[int, int],
        actor: keras.Model | None = None,
        critic: keras.Model | None = None,
    ) -> None:
        """Build the networks that are not passed.

        Args:
            config: Configuration of the training run.
            spec: Spec of the environment.
            seeds: Seeds of the initial weights of actor and critic.
            actor: Custom actor; None builds one.
            critic: Custom critic; None builds one.

        Raises:
            TypeError: If a custom network is not a Keras model.
            ValueError: If a custom network has the wrong shapes or cannot be trained, or if observations are images and
                a network would have to be built.
        """
        if actor is None or critic is None:
            spec.assert_takes_vectors()
        head = spec.action_head
        self.handed_over = {"actor": actor, "critic": critic}
        self.actor: Network = (
            _built_actor(config, spec, seeds[0])
            if actor is None
            else OwnNetwork("actor", actor, config, spec, head.output_names, head.num_outputs)
        )
        self.critic: Network = (
            _built_critic(config, spec, seeds[1])
            if critic is None
            else OwnNetwork("critic", critic, config, spec, (), 1)
        )
        assert_nothing_is_shared(self.actor.model, self.critic.model)
        known = (network.variables if isinstance(network, MLP) else [] for network in (self.actor, self.critic))
        self._read = WeightReader(*known)
        signature = [tf.TensorSpec((None, spec.observation_size), tf.float32)]
        self._own_outputs: dict[str, Callable[[tf.Tensor], tf.Tensor]] = {
            name: tf.function(network.__call__, input_signature=signature, autograph=False)
            for name, network in (("actor", self.actor), ("critic", self.critic))
            if isinstance(network, OwnNetwork)
        }
        self._observation_size = spec.observation_size
        self._begin(config)

    def _begin(self, config: PPOConfig) -> None:
        """Reset the statistics and wrap the networks in normalization layers where needed."""
        self._config = config
        self.statistics = RunningStatistics(config, self._observation_size)
        is_normalized, is_scaled = bool(config.normalize_observations), bool(config.normalize_rewards)
        self._raw_actor = RawModel(self.actor, is_normalized=is_normalized, is_scaled=False)
        self._raw_critic = RawModel(self.critic, is_normalized=is_normalized, is_scaled=is_scaled)

    def restart(self, config: PPOConfig, spec: EnvironmentSpec, seeds: tuple[int, int]) -> None:
        """Reinitialize the weights and the statistics, as if the networks were new.

        Args:
            config: Configuration of the new training run.
            spec: Spec of its environment.
            seeds: Seeds of the initial weights of actor and critic.
        """
        self.actor.model.set_weights(_built_actor(config, spec, seeds[0]).model.get_weights())
        self.critic.model.set_weights(_built_critic(config, spec, seeds[1]).model.get_weights())
        self._begin(config)

    @property
    def raw_actor(self) -> keras.Model:
        """The actor, with normalization layers so that it takes the environment's raw observations."""
        with computing_on(self._config.device):
            return self._raw_actor.up_to_date(self.statistics.observations, 1.0)

    @property
    def raw_critic(self) -> keras.Model:
        """The critic, with layers so that it takes raw observations and returns values of raw rewards."""
        with computing_on(self._config.device):
            return self._raw_critic.up_to_date(self.statistics.observations, self.statistics.reward_deviation)

    @property
    def are_built(self) -> bool:
        """Whether both networks were built here."""
        return not self._own_outputs

    @property
    def acts_by_kernels(self) -> bool:
        """Whether the actor was built here, so that the kernels can evaluate it."""
        return isinstance(self.actor, MLP)

    def variables(self) -> dict[str, keras.Variable]:
        """Return all variables of both networks by name."""
        return {
            f"{name}/{index}": variable
            for name, network in (("actor", self.actor), ("critic", self.critic))
            for index, variable in enumerate(network.model.variables)
        }

    def snapshot(self, num_threads: int = 1) -> Snapshot:
        """Return a snapshot of both networks.

        Args:
            num_threads: Number of threads for the value function, if it is a kernel.
        """
        with computing_on(self._config.device):
            actor_weights, critic_weights = self._read()
        normalization = self.statistics.normalization
        activation = self._config.activation
        if isinstance(self.critic, MLP):
            weights = padded_weights(critic_weights, activation, normalization)
            values: Values = partial(state_values, weights, num_threads=num_threads)
        else:
            values = self._values_of_own
        if not isinstance(self.actor, MLP):
            return Snapshot(PolicySnapshot(None, outputs=partial(self._ask, "actor")), values)
        log_std = None
        if self.actor.log_std_shape is not None:
            *actor_weights, log_std = actor_weights
            log_std = log_std.reshape(self.actor.log_std_shape)
        return Snapshot(PolicySnapshot(padded_weights(actor_weights, activation, normalization), log_std), values)

    def _ask(self, name: str, observations: Array) -> Array:
        """Return the outputs of a custom network, shape (B, P), float32."""
        rows = tf.constant(self.statistics.normalized(observations))
        with computing_on(self._config.device):
            return np.asarray(self._own_outputs[name](rows))

    def _values_of_own(self, observations: Array) -> Array:
        """Return the values of a custom critic, computed in batches, shape (B,), float32."""
        values = np.empty(len(observations), dtype=np.float32)
        for start in range(0, len(observations), _ROWS_AT_ONCE):
            rows = observations[start : start + _ROWS_AT_ONCE]
            values[start : start + len(rows)] = self._ask("critic", rows)[:, 0]
        return values

    def get_policy(self) -> dict[str, npt.NDArray[Any]]:
        """Return copies of the actor's variables and of the moments of observations, for ``set_policy``."""
        variables = {f"actor/{i}": np.array(v.numpy()) for i, v in enumerate(self.actor.model.variables)}
        moments = self.statistics.observations
        return variables if moments is None else {**variables, **{f: np.array(m) for f, m in moments._asdict().items()}}

    def set_policy(self, policy: dict[str, npt.NDArray[Any]]) -> None:
        """Restore the result of ``get_policy``; the critic stays as it is."""
        with computing_on(self._config.device):
            for index, variable in enumerate(self.actor.model.variables):
                variable.assign(policy[f"actor/{index}"])
        if self.statistics.observations is not None:
            self.statistics.observations = Moments(*(np.array(policy[name]) for name in Moments._fields))

    def get_state(self) -> dict[str, npt.NDArray[Any]]:
        """Return copies of the statistics, for ``set_state``; the networks' variables are not among them."""
        return self.statistics.get_state()

    def set_state(self, state: dict[str, npt.NDArray[Any]]) -> None:
        """Restore the statistics that ``get_state`` returned."""
        self.statistics.set_state(state)


def without_effect(config: PPOConfig, actor: keras.Model | None, critic: keras.Model | None) -> PPOConfig:
    """Return a configuration in which settings that have no effect on custom networks have their defaults.

    Args:
        config: The configuration.
        actor: Custom actor; None if it will be built.
        critic: Custom critic; None if it will be built.

    Raises:
        ValueError: If the user has set such a setting, so that its value is neither the preset's nor the default.
    """
    names = [
        *(("exploration", "noise_interval", "initial_log_std") if actor is not None else ()),
        *(("critic_hidden_sizes",) if critic is not None else ()),
        *(("hidden_sizes", "activation", "initializer") if actor is not None and critic is not None else ()),
    ]
    name_of_preset = config.preset if config.preset in PRESETS else "fast"
    preset = preset_config(name_of_preset, env_id=config.env_id, env_kwargs=config.env_kwargs)
    for name in names:
        value = getattr(config, name)
        if value not in (getattr(preset, name), getattr(PPOConfig, name)):
            raise ValueError(
                f"{name} must be {getattr(PPOConfig, name)!r} with custom networks, on which it has no effect, got "
                f"{value!r}."
            )
    changes: Settings = {name: getattr(PPOConfig, name) for name in names}  # type: ignore[assignment]
    return config.replace(**changes)


def _built_actor(config: PPOConfig, spec: EnvironmentSpec, seed: int) -> MLP:
    """Return a new actor of dense layers."""
    head, size, kind = spec.action_head, spec.observation_size, (config.initializer, config.activation)
    if isinstance(head, CategoricalHead):
        return MLP(build_actor(size, head.num_outputs, config.hidden_sizes, seed, *kind), config.activation)
    model = build_gaussian_actor(
        size,
        head.num_entries,
        config.hidden_sizes,
        seed,
        *kind,
        initial_log_std=config.initial_log_std,
        exploration=config.exploration,
    )
    return MLP(model, config.activation, config.exploration)


def _built_critic(config: PPOConfig, spec: EnvironmentSpec, seed: int) -> MLP:
    """Return a new critic of dense layers."""
    model = build_critic(spec.observation_size, config.critic_sizes, seed, config.initializer, config.activation)
    return MLP(model, config.activation)
