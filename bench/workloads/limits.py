"""Limits of the machine: peak rate of matrix products and memory bandwidth."""

from __future__ import annotations

import itertools
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

_COPIED_BYTES = 2**26


class MatrixProducts:
    """Single-precision matrix products by NumPy's BLAS library on all cores: the SGEMM peak for a shape."""

    def __init__(self, rows: int, inner: int, columns: int, multiply_adds_per_unit: float) -> None:
        """Create two matrices with normally distributed entries.

        Args:
            rows: Rows of the first matrix.
            inner: Columns of the first matrix and rows of the second.
            columns: Columns of the second matrix.
            multiply_adds_per_unit: Multiply-adds per unit of the case's work.
        """
        generator = np.random.default_rng(0)
        self._left = generator.standard_normal((rows, inner), dtype=np.float32)
        self._right = generator.standard_normal((inner, columns), dtype=np.float32)
        self._product = np.empty((rows, columns), dtype=np.float32)
        self.work = rows * inner * columns / multiply_adds_per_unit
        self.threads = os.cpu_count() or 1

    def run(self) -> float:
        """Multiply once; return an entry of the product."""
        np.matmul(self._left, self._right, out=self._product)
        return float(self._product[0, 0])


class MemoryCopies:
    """Copies of arrays much larger than the caches: the memory bandwidth for reading and writing."""

    def __init__(self, bytes_per_unit: float, threads: int) -> None:
        """Create the arrays.

        Args:
            bytes_per_unit: Minimum number of bytes that a unit of the case's work reads and writes.
            threads: Number of threads that copy in parallel.
        """
        self.threads = threads
        self._source = np.ones(_COPIED_BYTES // 8)
        self._target = np.zeros(_COPIED_BYTES // 8)
        self._pool = ThreadPoolExecutor(self.threads)
        edges = np.linspace(0, len(self._source), self.threads + 1).astype(int).tolist()
        self._slices = [slice(start, end) for start, end in itertools.pairwise(edges)]
        self.work = 2 * _COPIED_BYTES / bytes_per_unit

    def run(self) -> float:
        """Copy once; return an entry of the copy."""
        list(self._pool.map(lambda part: np.copyto(self._target[part], self._source[part]), self._slices))
        return float(self._target[-1])
