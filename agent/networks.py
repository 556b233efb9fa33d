"""The actor and the critic as Keras models."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from agent.backend import keras

OBSERVATION_SIZE = 4
NUM_ACTIONS = 2


def build_actor(hidden_sizes: Sequence[int], seed: int) -> keras.Model:
    """Return the policy network: observations (B, 4), float32, to logits (B, 2).

    Args:
        hidden_sizes: Units of the hidden tanh layers.
        seed: Fixes the initial weights.
    """
    return _build_mlp("actor", hidden_sizes, NUM_ACTIONS, seed)


def build_critic(hidden_sizes: Sequence[int], seed: int) -> keras.Model:
    """Return the value network: observations (B, 4), float32, to values (B, 1).

    Args:
        hidden_sizes: Units of the hidden tanh layers.
        seed: Fixes the initial weights.
    """
    return _build_mlp("critic", hidden_sizes, 1, seed)


def _build_mlp(name: str, hidden_sizes: Sequence[int], num_outputs: int, seed: int) -> keras.Model:
    # One derived seed for each layer; neighbouring seeds give unrelated ones.
    layer_seeds = np.random.SeedSequence(seed).generate_state(len(hidden_sizes) + 1).tolist()
    inputs = keras.Input((OBSERVATION_SIZE,), dtype="float32", name="observations")
    hidden = inputs
    for layer, (size, layer_seed) in enumerate(zip(hidden_sizes, layer_seeds[:-1], strict=True), start=1):
        hidden = keras.layers.Dense(
            size,
            activation="tanh",
            kernel_initializer=keras.initializers.GlorotUniform(seed=layer_seed),
            dtype="float32",
            name=f"hidden_{layer}",
        )(hidden)
    outputs = keras.layers.Dense(
        num_outputs,
        kernel_initializer=keras.initializers.GlorotUniform(seed=layer_seeds[-1]),
        dtype="float32",
        name="outputs",
    )(hidden)
    return keras.Model(inputs, outputs, name=name)
