"""The networks' forward pass in Numba, for many environments at once.

Activations are stored as (unit, environment), so that vector registers hold environments. Units are padded with zero
weights to multiples of ``TILE_OUTPUTS``, and environments to multiples of ``TILE_WIDTH`` (``agent.kernels.tiles``);
padded units stay 0 through activations. For a single environment, vectors run over units instead.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastcartpole.kernels import kernel
from fastcartpole.threads import in_ranges

from ..config import Activation
from .normalizing import normalized_number
from .tiles import TILE_OUTPUTS, TILE_WIDTH, multiply_tile

# tanh(x) = x P(x^2) / Q(x^2): a least-squares rational fit, reweighted towards equal relative error, on |x| <= 9,
# beyond which tanh is 1 to float32's precision. The relative error of the fit is 2.1e-8; evaluated in float32, it
# differs from tanh by at most 3.5e-7.
_TANH_LIMIT = np.float32(9.0)
_SILU_LIMIT = np.float32(18.0)
_P0, _P1, _P2, _P3, _P4 = (
    np.float32(c)
    for c in (
        0.9999999796114477,
        0.13380981045400234,
        0.0034955344489575554,
        2.0608184470002346e-05,
        1.3353414253773596e-08,
    )
)
_Q0, _Q1, _Q2, _Q3, _Q4 = (
    np.float32(c)
    for c in (1.0, 0.46714296699564706, 0.02587677966260407, 0.00032855462332176974, 7.776047319326089e-07)
)

_ZERO, _HALF, _ONE = np.float32(0.0), np.float32(0.5), np.float32(1.0)
_TANH, _RELU, _ELU, _SILU = range(4)
_ACTIVATIONS: dict[Activation, int] = {"tanh": _TANH, "relu": _RELU, "elu": _ELU, "silu": _SILU}

# Number of rows that pass through the network together; their activations stay in the first-level cache. It is fixed,
# so that results do not depend on the number of threads.
CHUNK = 128

Matrix = npt.NDArray[np.float32]
_NOTHING = np.zeros(0, dtype=np.float32)


def num_chunks(num_rows: int) -> int:
    """Return the number of chunks into which rows are divided."""
    return -(-num_rows // CHUNK)


class MLPWeights(NamedTuple):
    """Weights of an MLP with a linear output layer, padded to whole tiles.

    Attributes:
        sizes: Padded units of the input, hidden and output layers, shape (layers + 1,), int64.
        values: For each layer its kernel, shape (inputs, outputs), row by row, then its bias, shape (outputs,); all in
            one float32 vector.
        activation: Activation function of the hidden layers, as a number.
        means: Means with which observations are normalized before the first layer, shape (D,), float32; shape (0,) for
            no normalization.
        deviations: Standard deviations of observations, with the same shapes, float32.
    """

    sizes: npt.NDArray[np.int64]
    values: npt.NDArray[np.float32]
    activation: int
    means: npt.NDArray[np.float32]
    deviations: npt.NDArray[np.float32]


def padded_weights(
    weights: Sequence[npt.NDArray[np.float32]],
    activation: Activation = "tanh",
    normalization: tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]] | None = None,
) -> MLPWeights:
    """Return the weights of a Keras MLP in the form the kernels take.

    Args:
        weights: Alternating kernels, shape (inputs, outputs), and biases, shape (outputs,), as ``Model.get_weights()``
            returns them.
        activation: Activation function of the hidden layers.
        normalization: Means and standard deviations of observations, shape (D,) each; None for no normalization.

    Returns:
        The padded weights.
    """
    sizes, places, num_values = _padded_layout(tuple(array.shape for array in weights))
    values = np.zeros(num_values, dtype=np.float32)
    values[places] = np.concatenate([array.reshape(-1) for array in weights])
    means, deviations = normalization or (_NOTHING, _NOTHING)
    return MLPWeights(sizes, values, _ACTIVATIONS[activation], means, deviations)


@cache
def _padded_layout(
    shapes: tuple[tuple[int, ...], ...],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], int]:
    """Return the padded units of each layer, the indices of weights among padded weights, and the number of these."""
    padded = [tuple(size + -size % TILE_OUTPUTS for size in shape) for shape in shapes]
    ends = np.cumsum([math.prod(shape) for shape in padded])
    places = [
        np.arange(end - math.prod(shape), end).reshape(shape)[tuple(map(slice, given))].reshape(-1)
        for shape, given, end in zip(padded, shapes, ends, strict=True)
    ]
    sizes = np.array([padded[0][0]] + [size for (size,) in padded[1::2]], dtype=np.int64)
    return sizes, np.concatenate(places), int(ends[-1])


@kernel()
def dense_layer(
    layer_kernel: npt.NDArray[np.float32],
    bias: npt.NDArray[np.float32],
    inputs: npt.NDArray[np.float32],
    outputs: npt.NDArray[np.float32],
    width: int,
) -> None:
    """Write ``layer_kernel.T @ inputs + bias`` into ``outputs``, for W environments.

    Args:
        layer_kernel: Shape (I * O,), float32, row by row; I and O are multiples of ``TILE_OUTPUTS``.
        bias: Shape (O,), float32.
        inputs: Shape (at least I * W,), float32, row by row.
        outputs: Shape (at least O * W,), float32, its first O rows overwritten.
        width: W, a multiple of ``TILE_WIDTH``.
    """
    num_outputs = bias.size
    num_inputs = layer_kernel.size // num_outputs
    for column in range(0, width, TILE_WIDTH):
        for output in range(0, num_outputs, TILE_OUTPUTS):
            multiply_tile(layer_kernel, num_inputs, bias, inputs, outputs, width, column, output)


@kernel(fastmath={"fast"}, inlined=True)
def _tanh(value: np.float32) -> np.float32:
    """Return the tanh of a value."""
    x: Any = min(max(value, -_TANH_LIMIT), _TANH_LIMIT)
    s = x * x
    numerator = x * (_P0 + s * (_P1 + s * (_P2 + s * (_P3 + s * _P4))))
    denominator = _Q0 + s * (_Q1 + s * (_Q2 + s * (_Q3 + s * _Q4)))
    return numerator / denominator  # type: ignore[no-any-return]


@kernel(fastmath={"fast"})
def activate(values: npt.NDArray[np.float32], activation: int) -> None:
    """Apply an activation function to ``values``, shape (K,), float32, in place; zeros stay zeros.

    Exponentials are expressed by tanh, which is vectorized: e^x = (1 + tanh(x / 2)) / (1 - tanh(x / 2)).
    """
    if activation == _TANH:
        for k in range(values.size):
            values[k] = _tanh(values[k])
    elif activation == _RELU:
        for k in range(values.size):
            values[k] = max(values[k], _ZERO)
    elif activation == _ELU:
        # x for x > 0, otherwise e^x - 1.
        for k in range(values.size):
            half = _tanh(_HALF * min(values[k], _ZERO))
            values[k] = max(values[k], _ZERO) + (half + half) / (_ONE - half)
    else:
        # SiLU: x / (1 + e^-x), which is nearly 0 far below 0.
        for k in range(values.size):
            x = values[k]
            values[k] = x * (_HALF + _HALF * _tanh(_HALF * x)) if x > -_SILU_LIMIT else _ZERO


@kernel(fastmath={"fast"})
def dense_layer_for_one(
    weights: Matrix, bias: npt.NDArray[np.float32], inputs: npt.NDArray[np.float32], outputs: npt.NDArray[np.float32]
) -> None:
    """Write ``weights.T @ inputs + bias`` into ``outputs``, vectorized over units.

    Args:
        weights: Shape (I, O), float32, I a multiple of ``TILE_OUTPUTS``.
        bias: Shape (O,), float32.
        inputs: Shape (at least I,), float32.
        outputs: Shape (at least O,), float32, its first O entries overwritten.
    """
    for o in range(bias.size):
        outputs[o] = bias[o]
    for i in range(0, weights.shape[0], 4):
        w0, w1, w2, w3 = weights[i], weights[i + 1], weights[i + 2], weights[i + 3]
        x0, x1, x2, x3 = inputs[i], inputs[i + 1], inputs[i + 2], inputs[i + 3]
        for o in range(bias.size):
            outputs[o] += w0[o] * x0 + w1[o] * x1 + w2[o] * x2 + w3[o] * x3


@kernel()
def forward(weights: MLPWeights, activations: Matrix, scratch: Matrix) -> Matrix:
    """Return the outputs of the network for W environments.

    Args:
        weights: Padded weights.
        activations: Shape (widest layer, W), float32, C-contiguous; its first rows hold the inputs, and it is
            overwritten. W is 1 or a multiple of ``TILE_WIDTH``.
        scratch: Same shape, overwritten.

    Returns:
        The one of the two arrays that holds the outputs, in its first rows.
    """
    width = activations.shape[1]
    num_layers = weights.sizes.size - 1
    start = 0
    for layer in range(num_layers):
        num_inputs, num_outputs = weights.sizes[layer], weights.sizes[layer + 1]
        bias_start = start + num_inputs * num_outputs
        layer_kernel = weights.values[start:bias_start]
        start = bias_start + num_outputs
        bias = weights.values[bias_start:start]
        inputs, outputs = activations.reshape(-1), scratch.reshape(-1)
        if width == 1:
            dense_layer_for_one(layer_kernel.reshape(num_inputs, num_outputs), bias, inputs, outputs)
        else:
            dense_layer(layer_kernel, bias, inputs, outputs, width)
        if layer < num_layers - 1:
            activate(outputs[: num_outputs * width], weights.activation)
        activations, scratch = scratch, activations
    return activations


@kernel()
def new_activations(weights: MLPWeights, num_rows: int) -> Matrix:
    """Return zeros for the activations of one layer, for ``num_rows`` environments."""
    width = 1 if num_rows == 1 else (num_rows + TILE_WIDTH - 1) // TILE_WIDTH * TILE_WIDTH
    # Loops are used here and below because Numba takes seconds to compile some of NumPy's functions.
    widest_layer = 0
    for layer in range(weights.sizes.size):
        widest_layer = max(widest_layer, weights.sizes[layer])
    return np.zeros((widest_layer, width), dtype=np.float32)


@kernel()
def chunk_outputs(
    start: int, stop: int, weights: MLPWeights, observations: npt.NDArray[np.float32], inputs: Matrix, scratch: Matrix
) -> Matrix:
    """Return the network's outputs for rows ``start`` to ``stop - 1`` of ``observations``, shape (N, D).

    Observations are normalized if the weights contain statistics. Row i becomes column i - start. ``inputs`` and
    ``scratch``, from ``new_activations``, are overwritten.
    """
    if weights.means.size == 0:
        for i in range(start, stop):
            for row in range(observations.shape[1]):
                inputs[row, i - start] = observations[i, row]
    else:
        for i in range(start, stop):
            for row in range(observations.shape[1]):
                inputs[row, i - start] = normalized_number(
                    observations[i, row], weights.means[row], weights.deviations[row]
                )
    return forward(weights, inputs, scratch)


@kernel(inlined=True)
def features_of(weights: MLPWeights, inputs: Matrix, scratch: Matrix) -> Matrix:
    """Return the inputs of the output layer after ``chunk_outputs``: the array that does not hold the outputs."""
    return inputs if weights.sizes.size % 2 == 0 else scratch


@kernel()
def write_outputs(weights: MLPWeights, observations: npt.NDArray[np.float32], outputs: npt.NDArray[np.float32]) -> None:
    """Write the network's outputs for each row of observations.

    Args:
        weights: Padded weights.
        observations: Shape (N, D), float32.
        outputs: Shape (N, P), float32, P at most the number of outputs; overwritten.
    """
    for start in range(0, len(observations), CHUNK):
        stop = min(start + CHUNK, len(observations))
        inputs = new_activations(weights, stop - start)
        results = chunk_outputs(start, stop, weights, observations, inputs, np.zeros_like(inputs))
        for i in range(start, stop):
            for k in range(outputs.shape[1]):
                outputs[i, k] = results[k, i - start]


@kernel()
def _write_first_outputs(
    first: int,
    stop: int,
    weights: MLPWeights,
    observations: npt.NDArray[np.float32],
    outputs: npt.NDArray[np.float32],
) -> None:
    """Write the first output for each row of the chunks ``first`` to ``stop - 1``."""
    for chunk in range(first, stop):
        start = chunk * CHUNK
        end = min(start + CHUNK, outputs.size)
        inputs = new_activations(weights, end - start)
        result = chunk_outputs(start, end, weights, observations, inputs, np.zeros_like(inputs))
        for i in range(start, end):
            outputs[i] = result[0, i - start]


def state_values(
    weights: MLPWeights, observations: npt.NDArray[np.float32], num_threads: int = 1
) -> npt.NDArray[np.float32]:
    """Return a critic's values of observations.

    Args:
        weights: The critic's padded weights.
        observations: Shape (B, D), float32, C-contiguous.
        num_threads: Number of threads; the values do not depend on it.

    Returns:
        The values, shape (B,), float32.
    """
    values = np.empty(len(observations), dtype=np.float32)
    if values.size:
        in_ranges(num_threads, num_chunks(values.size), _write_first_outputs, weights, observations, values)
    return values
