"""PPO as the Keras example trains it: one environment, stepped from Python, with one TensorFlow call after another.

This is a reimplementation of the example's algorithm for benchmarks. It makes the same calls at the same granularity,
compiled where the example compiles (sampling, a policy step, a value step) and eager where the example is eager
(values, log-probabilities).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import gymnasium
import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from bench.workloads.transitions import initial_weights, some_transitions

Array = npt.NDArray[Any]

_GAMMA = 0.99
_LAMBDA = 0.95
_CLIP_RATIO = 0.2
_ITERATIONS = 80
_EPOCH_STEPS = 4000


class KerasExampleLoop:
    """Actor, critic and their optimizers, trained as in the example."""

    def __init__(self, actor_weights: Sequence[Array], critic_weights: Sequence[Array], kl_threshold: float) -> None:
        """Build the networks, with two hidden tanh layers of 64 units.

        Args:
            actor_weights: Initial weights of the actor, as returned by ``Model.get_weights()``.
            critic_weights: Initial weights of the critic.
            kl_threshold: Estimated KL divergence above which the policy is not updated further.
        """
        self._kl_threshold = kl_threshold
        self.actor, self.critic = network(2, actor_weights), network(1, critic_weights)
        self._policy_optimizer = keras.optimizers.Adam(3e-4)
        self._value_optimizer = keras.optimizers.Adam(1e-3)
        self._environment = gymnasium.make("CartPole-v1")
        self._seeds = keras.random.SeedGenerator(0)
        self._sample = tf.function(self._sample_action)
        self._step_policy = tf.function(self._policy_step)
        self._step_value = tf.function(self._value_step)

    def collect(self, num_steps: int) -> tuple[Array, Array, Array, Array, Array]:
        """Reset the environment and play ``num_steps`` steps.

        Returns:
            Observations, shape (T, 4), and actions, log-probabilities, normalized advantages and rewards-to-go, each of
            shape (T,).
        """
        observations = np.zeros((num_steps, 4), dtype=np.float32)
        actions = np.zeros(num_steps, dtype=np.int32)
        log_probs = np.zeros(num_steps, dtype=np.float32)
        values = np.zeros(num_steps, dtype=np.float32)
        advantages = np.zeros(num_steps, dtype=np.float32)
        returns = np.zeros(num_steps, dtype=np.float32)
        observation, _ = self._environment.reset()
        path_start = 0
        for t in range(num_steps):
            row = observation.reshape(1, -1)
            logits, action = self._sample(row)
            observations[t], actions[t] = observation, action[0].numpy()
            observation, _, terminated, _, _ = self._environment.step(actions[t])
            values[t] = self.critic(row)[0, 0]
            log_probs[t] = _log_probs(logits, action)[0]
            if terminated or t == num_steps - 1:
                value_after = 0.0 if terminated else float(self.critic(observation.reshape(1, -1))[0, 0])
                path = slice(path_start, t + 1)
                advantages[path], returns[path] = _finished_path(values[path], value_after)
                observation, _ = self._environment.reset()
                path_start = t + 1
        return observations, actions, log_probs, (advantages - advantages.mean()) / advantages.std(), returns

    def update(self, observations: Array, actions: Array, log_probs: Array, advantages: Array, returns: Array) -> float:
        """Update both networks on the whole rollout; return the final KL divergence."""
        divergence = 0.0
        for _ in range(_ITERATIONS):
            divergence = self._step_policy(observations, actions, log_probs, advantages)
            if divergence > self._kl_threshold:
                break
        for _ in range(_ITERATIONS):
            self._step_value(observations, returns)
        return float(divergence)

    def epoch(self, num_steps: int) -> None:
        """Collect one rollout and update on it."""
        self.update(*self.collect(num_steps))

    def _sample_action(self, observation: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        logits = self.actor(observation)
        return logits, keras.ops.squeeze(keras.random.categorical(logits, 1, seed=self._seeds), axis=1)

    def _policy_step(
        self, observations: tf.Tensor, actions: tf.Tensor, log_probs: tf.Tensor, advantages: tf.Tensor
    ) -> tf.Tensor:
        with tf.GradientTape() as tape:
            ratios = keras.ops.exp(_log_probs(self.actor(observations), actions) - log_probs)
            clipped = keras.ops.clip(ratios, 1.0 - _CLIP_RATIO, 1.0 + _CLIP_RATIO)
            loss = -keras.ops.mean(keras.ops.minimum(ratios * advantages, clipped * advantages))
        variables = self.actor.trainable_variables
        self._policy_optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return keras.ops.mean(log_probs - _log_probs(self.actor(observations), actions))

    def _value_step(self, observations: tf.Tensor, returns: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            loss = keras.ops.mean((returns - keras.ops.squeeze(self.critic(observations), axis=1)) ** 2)
        variables = self.critic.trainable_variables
        self._value_optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))


class ExampleRollouts:
    """Rollouts of the example with the policy in the loop."""

    work = 100.0

    def __init__(self) -> None:
        """Build the networks."""
        self._loop = KerasExampleLoop(*initial_weights(), math.inf)

    def run(self) -> object:
        """Collect one rollout; return its arrays."""
        return self._loop.collect(int(self.work))


class ExampleUpdate:
    """Updates of the example on the same transitions: 80 policy and 80 value iterations.

    Attributes:
        probe: KL divergence after the first update.
    """

    work = 1.0

    def __init__(self) -> None:
        """Build the networks."""
        self._loop = KerasExampleLoop(*initial_weights(), math.inf)
        self._batch = some_transitions(_EPOCH_STEPS)
        self.probe: float | None = None

    def run(self) -> float:
        """Update both networks; return the KL divergence."""
        divergence = self._loop.update(*self._batch)
        self.probe = divergence if self.probe is None else self.probe
        return divergence


class ExampleEpoch:
    """Whole epochs of the example: 4,000 steps and an update that may stop early."""

    work = 4000.0

    def __init__(self) -> None:
        """Build the networks."""
        self._loop = KerasExampleLoop(*initial_weights(), 1.5 * 0.01)

    def warm_up(self) -> None:
        """Train one short epoch."""
        self._loop.epoch(50)

    def run(self) -> None:
        """Train one epoch."""
        self._loop.epoch(_EPOCH_STEPS)


def network(num_outputs: int, weights: Sequence[Array]) -> keras.Model:
    """Return a network with two hidden tanh layers of 64 units.

    Args:
        num_outputs: Units of the last layer.
        weights: Kernels and biases, layer by layer.
    """
    layers = [keras.layers.Dense(units, activation="tanh") for units in (64, 64)]
    model = keras.Sequential([keras.Input((4,)), *layers, keras.layers.Dense(num_outputs)])
    model.set_weights(weights)
    return model


def _log_probs(logits: tf.Tensor, actions: tf.Tensor) -> tf.Tensor:
    return keras.ops.sum(keras.ops.one_hot(actions, 2) * keras.ops.log_softmax(logits), axis=1)


def _finished_path(values: Array, value_after: float) -> tuple[Array, Array]:
    """Return advantages and rewards-to-go of a trajectory whose rewards are all 1."""
    deltas = 1.0 + _GAMMA * np.append(values[1:], value_after) - values
    advantages, returns = np.empty_like(values), np.empty_like(values)
    advantage, return_to_go = 0.0, value_after
    for t in range(len(values) - 1, -1, -1):
        advantage = deltas[t] + _GAMMA * _LAMBDA * advantage
        return_to_go = 1.0 + _GAMMA * return_to_go
        advantages[t], returns[t] = advantage, return_to_go
    return advantages, returns
