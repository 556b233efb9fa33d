"""Rollouts that call the Keras actor once per step of a batch."""

from __future__ import annotations

from typing import Any

import gymnasium
import keras
import numpy as np
import tensorflow as tf

from bench.workloads.keras_example import network
from bench.workloads.transitions import initial_weights


class KerasStepRollouts:
    """Rollouts in Gymnasium's batched CartPole with one compiled TensorFlow call per step and all results stored."""

    def __init__(self, num_envs: int, num_steps: int) -> None:
        """Build the actor and reset the environments.

        Args:
            num_envs: Number of environments N.
            num_steps: Number of steps T per environment and rollout.
        """
        self._environments = gymnasium.make_vec(
            "CartPole-v1", num_envs=num_envs, vectorization_mode="vector_entry_point"
        )
        self._observations, _ = self._environments.reset(seed=0)
        self._actor = network(2, initial_weights()[0])
        self._seeds = keras.random.SeedGenerator(0)
        self._act = tf.function(self._sampled)
        self._num_steps = num_steps
        self.work = float(num_envs * num_steps)

    def run(self) -> Any:
        """Play one rollout, continuing where the last one ended; return its arrays."""
        rows = []
        for _ in range(self._num_steps):
            actions, log_probs = (tensor.numpy() for tensor in self._act(self._observations))
            observations, rewards, terminated, truncated, _ = self._environments.step(actions)
            rows.append((self._observations, actions, log_probs, rewards, terminated, truncated))
            self._observations = observations
        return [np.array(column) for column in zip(*rows, strict=True)]

    def _sampled(self, observations: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        logits = self._actor(observations)
        actions = keras.ops.squeeze(keras.random.categorical(logits, 1, dtype="int64", seed=self._seeds), axis=1)
        return actions, tf.gather(tf.nn.log_softmax(logits), actions, batch_dims=1)
