"""The actor and the critic as Keras models."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from ..config import Activation, Exploration, Initializer
from ..kernels.acting import LEAST_VARIANCE
from ..process.backend import keras, tf

# The layer whose bias holds the log standard deviations.
_LOG_STD = "log_std"
# Up to this number of outputs, gradients of a layer are computed column by column.
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
    """Return a policy network that maps observations, shape (B, D), float32, to logits, shape (B, A).

    Args:
        observation_size: D.
        num_outputs: A.
        hidden_sizes: Units of each hidden layer.
        seed: Seed of the initial weights.
        initializer: Kernel initializer; see ``PPOConfig``.
        activation: Activation function of the hidden layers.
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
    """Return a value network that maps observations, shape (B, D), float32, to values, shape (B, 1).

    Args:
        observation_size: D.
        hidden_sizes: Units of each hidden layer.
        seed: Seed of the initial weights.
        initializer: Kernel initializer; see ``PPOConfig``.
        activation: Activation function of the hidden layers.
    """
    sizes = (observation_size, *hidden_sizes, 1)
    return _build_mlp("critic", sizes, seed, initializer, activation, output_gain=1.0)


def build_gaussian_actor(
    observation_size: int,
    num_entries: int,
    hidden_sizes: Sequence[int],
    seed: int,
    initializer: Initializer = "glorot_uniform",
    activation: Activation = "tanh",
    *,
    initial_log_std: float = 0.0,
    exploration: Exploration = "independent",
) -> keras.Model:
    """Return a policy network for continuous actions that consists only of Keras layers.

    It maps observations, shape (B, D), float32, to a dictionary of ``"mean"`` and ``"log_std"``, each of shape (B, K).
    The log standard deviations are trainable parameters that do not depend on the observation: the bias of a layer
    whose input is zero. With state-dependent exploration, that bias holds F x K values, for the F features of the last
    hidden layer; the variance of an action is then the sum over the features of their squares times the squared
    standard deviations (Raffin et al. 2021, equation 6).

    Args:
        observation_size: D.
        num_entries: Number of entries K of an action.
        hidden_sizes: Units of each hidden layer.
        seed: Seed of the initial weights.
        initializer: Kernel initializer; see ``PPOConfig``.
        activation: Activation function of the hidden layers.
        initial_log_std: Initial value of the log standard deviations.
        exploration: Kind of noise; see ``PPOConfig``.
    """
    sizes = (observation_size, *hidden_sizes, num_entries)
    inputs, features, means = _mlp_layers(sizes, seed, initializer, activation, output_gain=0.01, output_name="mean")
    num_features = hidden_sizes[-1] if exploration == "state_dependent" else 1
    layer = keras.layers.Dense(
        num_features * num_entries,
        kernel_initializer="zeros",
        bias_initializer=keras.initializers.Constant(initial_log_std),
        dtype="float32",
        name=_LOG_STD,
    )
    log_std = layer(keras.ops.zeros_like(means))
    if exploration == "state_dependent":
        variances = keras.ops.exp(2.0 * keras.ops.reshape(log_std, (-1, num_features, num_entries)))
        squares = keras.ops.square(features)
        log_std = 0.5 * keras.ops.log(keras.ops.einsum("bf,bfk->bk", squares, variances) + LEAST_VARIANCE)
    return keras.Model(inputs, {"mean": means, "log_std": log_std}, name="actor")


def _build_mlp(
    name: str,
    sizes: Sequence[int],
    seed: int,
    initializer: Initializer,
    activation: Activation,
    output_gain: float,
) -> keras.Model:
    """Return an MLP; ``sizes`` lists its inputs, the units of its hidden layers, and its outputs."""
    inputs, _, outputs = _mlp_layers(sizes, seed, initializer, activation, output_gain, output_name="outputs")
    return keras.Model(inputs, outputs, name=name)


def _mlp_layers(
    sizes: Sequence[int],
    seed: int,
    initializer: Initializer,
    activation: Activation,
    output_gain: float,
    output_name: str,
) -> tuple[keras.KerasTensor, keras.KerasTensor, keras.KerasTensor]:
    """Return the inputs, the last hidden layer and the outputs of an MLP; for ``sizes`` see ``_build_mlp``."""
    observation_size, *hidden_sizes, num_outputs = sizes
    # SeedSequence derives unrelated layer seeds even from consecutive seeds.
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
        name=output_name,
    )(hidden)
    return inputs, hidden, outputs


def _initializer(name: Initializer, gain: float, seed: int) -> keras.initializers.Initializer:
    if name == "orthogonal":
        return keras.initializers.Orthogonal(gain=gain, seed=seed)
    return keras.initializers.GlorotUniform(seed=seed)


class Network(Protocol):
    """A Keras model with the interface that the update needs.

    Attributes:
        model: The model.
        variables: Its trainable variables, in the order of ``weights`` in ``outputs``.
        input_shape: Shape of one observation as the model takes it.
    """

    model: keras.Model
    variables: list[keras.Variable]
    input_shape: tuple[int, ...]

    def outputs(self, weights: Sequence[tf.Tensor], observations: tf.Tensor) -> tf.Tensor:
        """Return the differentiable outputs with the given weights, shape (B, P), float32.

        Args:
            weights: Weights to use instead of the model's variables.
            observations: Shape (B, D), float32.
        """


class MLP:
    """A model that was built here: dense layers, which the kernels can evaluate, and log standard deviations.

    Attributes:
        model: The model.
        variables: Kernels and biases of its layers, alternating, followed by the log standard deviations, if any.
        input_shape: Shape of one observation, (D,).
        log_std_shape: Shape of the log standard deviations: (K,), or (F, K) with state-dependent exploration; None if
            there are none.
    """

    def __init__(self, model: keras.Model, activation: Activation = "tanh", exploration: Exploration = "independent"):
        """Collect the variables of a model.

        Args:
            model: A model returned by a function of this module.
            activation: Activation function of its hidden layers.
            exploration: The kind of noise that it was built with.
        """
        self.model = model
        self.input_shape: tuple[int, ...] = model.input_shape[1:]
        self._activation = activation
        self._is_state_dependent = exploration == "state_dependent"
        dense = [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)]
        layers = [layer for layer in dense if layer.name != _LOG_STD]
        self.variables = [variable for layer in layers for variable in (layer.kernel, layer.bias)]
        self.log_std_shape: tuple[int, ...] | None = None
        if len(layers) < len(dense):
            self.variables.append(model.get_layer(_LOG_STD).bias)
            num_features, num_entries = layers[-1].kernel.shape
            self.log_std_shape = (num_features, num_entries) if self._is_state_dependent else (num_entries,)

    def outputs(self, weights: Sequence[tf.Tensor], observations: tf.Tensor) -> tf.Tensor:
        """Return the differentiable outputs with the given weights; see ``Network``."""
        if self.log_std_shape is None:
            return differentiable_outputs(weights, observations, self._activation)
        *weights, kernel, bias, log_std = weights
        features = _hidden(weights, observations, self._activation)
        means = _dense(features, kernel, bias)
        if self._is_state_dependent:
            # Only the mean trains the features, as in Stable-Baselines3.
            squares = tf.square(tf.stop_gradient(features))
            variances = tf.matmul(squares, tf.exp(2.0 * tf.reshape(log_std, self.log_std_shape)))
            log_stds = 0.5 * tf.math.log(variances + LEAST_VARIANCE)
        else:
            log_stds = _repeated(log_std, tf.shape(means)[0])
        return tf.concat([means, log_stds], axis=1)


@tf.custom_gradient  # type: ignore[untyped-decorator]
def _repeated(row: tf.Tensor, count: tf.Tensor) -> tuple[tf.Tensor, Callable[..., Any]]:
    """Return a row repeated ``count`` times, shape (count, K), and its gradient function."""

    def gradients(upstream: tf.Tensor) -> tuple[tf.Tensor, None]:
        # A matrix product, because XLA's sums over rows are slow.
        return tf.matmul(tf.ones((1, tf.shape(upstream)[0])), upstream)[0], None

    return tf.tile(row[None], [count, 1]), gradients


def differentiable_outputs(
    weights: Sequence[tf.Tensor], observations: tf.Tensor, activation: Activation = "tanh"
) -> tf.Tensor:
    """Return the outputs of a network of this module, with gradients that XLA compiles to faster code.

    Automatic differentiation produces matrix products with thousands of rows and one or two columns, and sums over
    thousands of rows, which take a third of the time on a CPU. ``_dense`` computes the same gradients differently.

    Args:
        weights: Kernels, shape (inputs, outputs), and biases, shape (outputs,), alternating, layer by layer.
        observations: Shape (B, D), float32.
        activation: Activation function of the hidden layers.

    Returns:
        The outputs, shape (B, outputs), float32.
    """
    return _dense(_hidden(weights[:-2], observations, activation), *weights[-2:])


def _hidden(weights: Sequence[tf.Tensor], observations: tf.Tensor, activation: Activation) -> tf.Tensor:
    """Return the features of the last hidden layer, shape (B, F)."""
    hidden = observations
    for kernel, bias in zip(weights[::2], weights[1::2], strict=True):
        hidden = _ACTIVATIONS[activation](_dense(hidden, kernel, bias))
    return hidden


@tf.custom_gradient  # type: ignore[untyped-decorator]
def _dense(inputs: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor) -> tuple[tf.Tensor, Callable[..., Any]]:
    """Return ``inputs @ kernel + bias``, shape (B, O), and its gradient function."""

    def gradients(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        if kernel.shape[1] <= _FEW_OUTPUTS:
            # Column by column, the first product fuses with the next operation and the second reads rows in order.
            columns = [(upstream[:, o : o + 1], kernel[:, o]) for o in range(kernel.shape[1])]
            input_gradient = tf.add_n([column * weights for column, weights in columns])
            kernel_gradient = tf.stack(
                [tf.matmul(column, inputs, transpose_a=True)[0] for column, _ in columns], axis=1
            )
        else:
            input_gradient = tf.matmul(upstream, kernel, transpose_b=True)
            kernel_gradient = tf.matmul(inputs, upstream, transpose_a=True)
        # A matrix product, because XLA's sums over rows are slow.
        bias_gradient = tf.matmul(tf.ones((1, tf.shape(upstream)[0])), upstream)[0]
        return input_gradient, kernel_gradient, bias_gradient

    return tf.matmul(inputs, kernel) + bias, gradients
