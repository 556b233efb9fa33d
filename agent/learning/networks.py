"""The actor and the critic as Keras models."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..config import Activation, Initializer
from ..process.backend import keras, tf

# Up to so many outputs, gradients of the last layer are computed column by column.
_FEW_OUTPUTS = 2
_ACTIVATIONS: dict[Activation, Callable[[tf.Tensor], tf.Tensor]] = {
    "tanh": tf.tanh,
    "relu": tf.nn.relu,
    "elu": tf.nn.elu,
    "silu": tf.nn.silu,
}


def build_actor(
    observation_size: int,
    num_outputs: int,
    hidden_sizes: Sequence[int],
    seed: int,
    initializer: Initializer = "glorot_uniform",
    activation: Activation = "tanh",
) -> keras.Model:
    """Return the policy network: observations (B, D), float32, to logits (B, A).

    Args:
        observation_size: D.
        num_outputs: A.
        hidden_sizes: Units of the hidden layers.
        seed: Fixes the initial weights.
        initializer: How they are drawn; see :class:`agent.config.PPOConfig`.
        activation: Of the hidden layers.
    """
    sizes = (observation_size, *hidden_sizes, num_outputs)
    return _build_mlp("actor", sizes, seed, initializer, activation, output_gain=0.01)


def build_critic(
    observation_size: int,
    hidden_sizes: Sequence[int],
    seed: int,
    initializer: Initializer = "glorot_uniform",
    activation: Activation = "tanh",
) -> keras.Model:
    """Return the value network: observations (B, D), float32, to values (B, 1).

    Args:
        observation_size: D.
        hidden_sizes: Units of the hidden layers.
        seed: Fixes the initial weights.
        initializer: How they are drawn; see :class:`agent.config.PPOConfig`.
        activation: Of the hidden layers.
    """
    sizes = (observation_size, *hidden_sizes, 1)
    return _build_mlp("critic", sizes, seed, initializer, activation, output_gain=1.0)


def _build_mlp(
    name: str,
    sizes: Sequence[int],
    seed: int,
    initializer: Initializer,
    activation: Activation,
    output_gain: float,
) -> keras.Model:
    """Return an MLP with so many inputs, units of hidden layers, and outputs."""
    observation_size, *hidden_sizes, num_outputs = sizes
    # One derived seed for each layer; neighbouring seeds give unrelated ones.
    layer_seeds = np.random.SeedSequence(seed).generate_state(len(hidden_sizes) + 1).tolist()
    inputs = keras.Input((observation_size,), dtype="float32", name="observations")
    hidden = inputs
    for layer, (size, layer_seed) in enumerate(zip(hidden_sizes, layer_seeds[:-1], strict=True), start=1):
        hidden = keras.layers.Dense(
            size,
            activation=activation,
            kernel_initializer=_initializer(initializer, math.sqrt(2.0), layer_seed),
            dtype="float32",
            name=f"hidden_{layer}",
        )(hidden)
    outputs = keras.layers.Dense(
        num_outputs,
        kernel_initializer=_initializer(initializer, output_gain, layer_seeds[-1]),
        dtype="float32",
        name="outputs",
    )(hidden)
    return keras.Model(inputs, outputs, name=name)


def _initializer(name: Initializer, gain: float, seed: int) -> keras.initializers.Initializer:
    if name == "orthogonal":
        return keras.initializers.Orthogonal(gain=gain, seed=seed)
    return keras.initializers.GlorotUniform(seed=seed)


def differentiable_outputs(
    weights: Sequence[tf.Tensor], observations: tf.Tensor, activation: Activation = "tanh"
) -> tf.Tensor:
    """Return the outputs of a network of this module with gradients that XLA compiles to faster code.

    Automatic differentiation leaves XLA with a product that has thousands of rows and one or two columns, and with sums
    over thousands of rows; on a CPU they take a third of the time. :func:`_dense` writes the same gradients otherwise.

    Args:
        weights: Kernels, shape (inputs, outputs), and biases, shape (outputs,), alternating, layer by layer.
        observations: Shape (B, D), float32.
        activation: Of the hidden layers.

    Returns:
        The outputs, shape (B, outputs), float32.
    """
    layers = list(zip(weights[::2], weights[1::2], strict=True))
    hidden = observations
    for kernel, bias in layers[:-1]:
        hidden = _ACTIVATIONS[activation](_dense(hidden, kernel, bias))
    return _dense(hidden, *layers[-1])


@tf.custom_gradient  # type: ignore[untyped-decorator]
def _dense(inputs: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor) -> tuple[tf.Tensor, Callable[..., Any]]:
    """Return ``inputs @ kernel + bias``, shape (B, O), and the function that turns its gradient into theirs."""

    def gradients(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        if kernel.shape[1] <= _FEW_OUTPUTS:
            # Column by column of the output: the first products fuse with what follows, the second read rows in order.
            columns = [(upstream[:, o : o + 1], kernel[:, o]) for o in range(kernel.shape[1])]
            input_gradient = tf.add_n([column * weights for column, weights in columns])
            kernel_gradient = tf.stack(
                [tf.matmul(column, inputs, transpose_a=True)[0] for column, _ in columns], axis=1
            )
        else:
            input_gradient = tf.matmul(upstream, kernel, transpose_b=True)
            kernel_gradient = tf.matmul(inputs, upstream, transpose_a=True)
        # A sum over rows as a product: XLA's sums over rows are slow.
        bias_gradient = tf.matmul(tf.ones((1, tf.shape(upstream)[0])), upstream)[0]
        return input_gradient, kernel_gradient, bias_gradient

    return tf.matmul(inputs, kernel) + bias, gradients
