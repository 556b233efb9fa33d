"""Many arrays packed into two vectors, one per dtype, because each tensor passed to TensorFlow has a fixed cost."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..process.backend import tf

Layout = tuple[tuple[tuple[int, ...], np.dtype[Any]], ...]
"""Shape and type of each array."""

_TYPES = (np.dtype(np.float32), np.dtype(np.int32))


def layout_of(arrays: Sequence[npt.NDArray[Any]]) -> Layout:
    """Return shapes and types of arrays."""
    return tuple((array.shape, array.dtype) for array in arrays)


class Packing:
    """Passes arrays of one layout into a compiled function: packs them outside and unpacks them inside.

    Attributes:
        vectors: TensorFlow specs of the two vectors.
    """

    def __init__(self, layout: Layout) -> None:
        """Allocate the buffers that all calls share.

        Args:
            layout: Layout of the arrays.

        Raises:
            TypeError: If an array is neither float32 nor int32.
        """
        for _, dtype in layout:
            if dtype not in _TYPES:
                raise TypeError(f"the batch of an update must be arrays of float32 or int32, got {dtype}.")
        self._layout = layout
        self._sizes = [[math.prod(shape) for shape, dtype in layout if dtype == kind] for kind in _TYPES]
        self.vectors = [tf.TensorSpec((sum(sizes),), kind) for sizes, kind in zip(self._sizes, _TYPES, strict=True)]
        self._buffers = [np.empty(sum(sizes), dtype=kind) for sizes, kind in zip(self._sizes, _TYPES, strict=True)]
        parts = (
            np.split(buffer, np.cumsum(sizes)[:-1]) for buffer, sizes in zip(self._buffers, self._sizes, strict=True)
        )
        self._views = self._in_order(parts)

    def pack(self, arrays: Sequence[npt.NDArray[Any]]) -> list[tf.Tensor]:
        """Copy arrays of this layout into vectors and return these."""
        for view, array in zip(self._views, arrays, strict=True):
            np.copyto(view, array.reshape(-1))
        return [tf.constant(buffer) for buffer in self._buffers]

    def unpack(self, numbers: tf.Tensor, integers: tf.Tensor) -> list[tf.Tensor]:
        """Return the arrays that were packed into the vectors, in their original order."""
        parts = (
            tf.split(vector, sizes) if sizes else []
            for vector, sizes in zip((numbers, integers), self._sizes, strict=True)
        )
        return [tf.reshape(part, shape) for part, (shape, _) in zip(self._in_order(parts), self._layout, strict=True)]

    def _in_order(self, parts: Iterable[Sequence[Any]]) -> list[Any]:
        """Return the parts of each vector in the order of the arrays."""
        rest = {kind: iter(of_one) for kind, of_one in zip(_TYPES, parts, strict=True)}
        return [next(rest[dtype]) for _, dtype in self._layout]
