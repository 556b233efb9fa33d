"""All weights of a network in one vector."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..process.backend import keras, tf


class FlatWeights:
    """All weights of a network in one vector, so that an optimizer step takes a few operations instead of many.

    XLA would also spread many independent operations over threads, which the update of the other network needs.

    Attributes:
        vector: The concatenated weights in the order of the model, shape (P,), float32.
    """

    def __init__(self, variables: Sequence[keras.Variable], name: str) -> None:
        """Allocate the vector; ``read`` fills it.

        Args:
            variables: Trainable variables of the network.
            name: Name of the network.
        """
        self._variables = list(variables)
        self._shapes = [variable.shape for variable in self._variables]
        self._sizes = [math.prod(shape) for shape in self._shapes]
        self.vector = keras.Variable(np.zeros(sum(self._sizes), dtype=np.float32), name=f"{name}_weights")

    def read(self) -> None:
        """Copy the model's weights into the vector."""
        self.vector.assign(self.flattened([tf.convert_to_tensor(variable) for variable in self._variables]))

    def write(self) -> None:
        """Copy the vector into the model's weights."""
        for variable, weight in zip(self._variables, self.split(), strict=True):
            variable.assign(weight)

    def split(self) -> list[tf.Tensor]:
        """Return the vector split into the individual weights, in their order and shapes."""
        parts = tf.split(tf.convert_to_tensor(self.vector), self._sizes)
        return [tf.reshape(part, shape) for part, shape in zip(parts, self._shapes, strict=True)]

    @staticmethod
    def flattened(tensors: Sequence[tf.Tensor]) -> tf.Tensor:
        """Return weights, or their gradients, flattened and concatenated, shape (P,)."""
        return tf.concat([tf.reshape(tensor, (-1,)) for tensor in tensors], axis=0)


class WeightReader:
    """Reads the weights of several networks in one TensorFlow call; ``get_weights`` needs one per variable."""

    def __init__(self, *networks: Sequence[keras.Variable]) -> None:
        """Store the variables; nothing is read yet.

        Args:
            networks: The variables of each network.
        """
        self._variables = [list(variables) for variables in networks]
        self._shapes = [[tuple(variable.shape) for variable in variables] for variables in self._variables]
        self._read: Any = None

    def __call__(self) -> list[list[npt.NDArray[np.float32]]]:
        """Return the current values of the variables of each network."""
        if self._read is None:
            self._read = tf.function(self._vectors, autograph=False).get_concrete_function()
        vectors = self._read()
        return [_divided(vector.numpy(), shapes) for vector, shapes in zip(vectors, self._shapes, strict=True)]

    def _vectors(self) -> list[tf.Tensor]:
        nothing = tf.zeros(0)
        return [
            FlatWeights.flattened([nothing, *(tf.convert_to_tensor(variable) for variable in variables)])
            for variables in self._variables
        ]


def _divided(vector: npt.NDArray[np.float32], shapes: Sequence[tuple[int, ...]]) -> list[npt.NDArray[np.float32]]:
    """Split a vector into consecutive parts of the given shapes."""
    parts, end = [], 0
    for shape in shapes:
        start, end = end, end + math.prod(shape)
        parts.append(vector[start:end].reshape(shape))
    return parts
