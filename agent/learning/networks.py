"""The actor and the critic as Keras models."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..config import Activation, Initializer
from ..errors import reason_of
from ..process.backend import computing_on, keras, tf

# Up to so many outputs, gradients of the last layer are computed column by column.
_FEW_OUTPUTS = 2
_ACTIVATIONS: dict[Activation, Callable[[tf.Tensor], tf.Tensor]] = {
    "tanh": tf.tanh,
    "relu": tf.nn.relu,
    "elu": tf.nn.elu,
    "silu": tf.nn.silu,
}
# Rows that a model of others is tried with: some take one alone, or a number of their own.
_CHECKED_ROWS = (1, 7)


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


def copy_of(model: keras.Model) -> keras.Model:
    """Return a model of the same layers with weights of its own, which are the same now."""
    with computing_on("cpu"):
        copy = keras.models.clone_model(model)
        copy.set_weights(model.get_weights())
    return copy


def load_actor(path: Path, observation_size: int, num_outputs: int) -> keras.Model:
    """Return a saved actor; nothing in the file is executed.

    Args:
        path: A ``.keras`` file, of this project or any other.
        observation_size: D, the inputs it must have.
        num_outputs: A, the outputs it must have.

    Raises:
        ValueError: If it is no Keras model, or not one with so many inputs and outputs.
    """
    if path.suffix != ".keras":
        raise ValueError(f"'{path}' is no .keras file.")
    try:
        with computing_on("cpu"):
            model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:
        # Keras raises exceptions of many kinds on damaged files.
        raise ValueError(f"'{path}' cannot be loaded as a Keras model: {_reason_of_loading(error)}") from None
    _check_actor(model, path, observation_size, num_outputs)
    return model


def _reason_of_loading(error: Exception) -> str:
    """Return what Keras says, without the configurations that it quotes before and after."""
    return reason_of(Exception(str(error).rpartition("Exception encountered: ")[2].partition(" Full object config")[0]))


def _check_actor(model: Any, path: Path, observation_size: int, num_outputs: int) -> None:
    """Check that a model gives so many logits for each row of observations, by asking it.

    Raises:
        ValueError: If it does not.
    """
    shapes = getattr(model, "input_shape", None), getattr(model, "output_shape", None)
    expected = f"shape {(None, observation_size)} to {(None, num_outputs)}"
    try:
        with computing_on("cpu"):
            logits = [model(np.zeros((rows, observation_size), dtype=np.float32)) for rows in _CHECKED_ROWS][-1]
    except Exception as error:
        if shapes[0] == (None, observation_size):
            raise ValueError(f"'{path}' cannot be evaluated on observations: {reason_of(error)}") from None
        raise ValueError(f"'{path}' must map {expected}, not {shapes[0]} to {shapes[1]}.") from None
    if not isinstance(logits, tf.Tensor):
        kind = type(logits).__name__
        raise ValueError(f"'{path}' must map {expected}: one array of logits, not a {kind} of outputs.")
    if logits.shape != (_CHECKED_ROWS[-1], num_outputs):
        raise ValueError(f"'{path}' must map {expected}, not {shapes[0]} to {shapes[1]}.")
    if not np.isfinite(np.asarray(logits, dtype=np.float64)).all():
        raise ValueError(f"'{path}' must give finite logits, which its weights do not.")


class FlatWeights:
    """All weights of a network in one vector, for an optimizer to step in a few operations instead of many.

    XLA also spreads many operations that are ready at once over threads, which the other network's update needs.

    Attributes:
        vector: The weights, one after the other in the order of the model, shape (P,), float32.
    """

    def __init__(self, model: keras.Model) -> None:
        """Make room for the weights of ``model``; they are not read before :meth:`read`."""
        self._variables = model.trainable_variables
        self._shapes = [variable.shape for variable in self._variables]
        self._sizes = [math.prod(shape) for shape in self._shapes]
        self.vector = keras.Variable(np.zeros(sum(self._sizes), dtype=np.float32), name=f"{model.name}_weights")

    def read(self) -> None:
        """Copy the model's weights into the vector."""
        self.vector.assign(self.flattened([tf.convert_to_tensor(variable) for variable in self._variables]))

    def write(self) -> None:
        """Copy the vector into the model's weights."""
        for variable, weight in zip(self._variables, self.split(), strict=True):
            variable.assign(weight)

    def split(self) -> list[tf.Tensor]:
        """Return the vector as kernels and biases, in the order and the shapes of the model."""
        parts = tf.split(tf.convert_to_tensor(self.vector), self._sizes)
        return [tf.reshape(part, shape) for part, shape in zip(parts, self._shapes, strict=True)]

    @staticmethod
    def flattened(tensors: Sequence[tf.Tensor]) -> tf.Tensor:
        """Return the entries of kernels and biases, or of their gradients, one after the other, shape (P,)."""
        return tf.concat([tf.reshape(tensor, (-1,)) for tensor in tensors], axis=0)


class WeightReader:
    """Reads the weights of several networks in one call of TensorFlow, where ``get_weights`` takes one a variable."""

    def __init__(self, *models: keras.Model) -> None:
        """Prepare for reading; nothing is read yet.

        Args:
            models: The networks.
        """
        self._variables = [model.trainable_variables for model in models]
        self._shapes = [[tuple(variable.shape) for variable in variables] for variables in self._variables]
        self._read: Any = None

    def __call__(self) -> list[list[npt.NDArray[np.float32]]]:
        """Return what each network has now, as its ``get_weights`` does: kernels and biases, alternating."""
        if self._read is None:
            self._read = tf.function(self._vectors, autograph=False).get_concrete_function()
        vectors = self._read()
        return [_divided(vector.numpy(), shapes) for vector, shapes in zip(vectors, self._shapes, strict=True)]

    def _vectors(self) -> list[tf.Tensor]:
        return [FlatWeights.flattened([tf.convert_to_tensor(v) for v in variables]) for variables in self._variables]


def _divided(vector: npt.NDArray[np.float32], shapes: Sequence[tuple[int, ...]]) -> list[npt.NDArray[np.float32]]:
    """Return the parts of a vector, one after the other, in their shapes."""
    parts, end = [], 0
    for shape in shapes:
        start, end = end, end + math.prod(shape)
        parts.append(vector[start:end].reshape(shape))
    return parts


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
