"""How fast the machine could be at best."""

from __future__ import annotations

import numpy as np

_SIZE = 2048


class MatrixProduct:
    """Single-precision matrix products by the library NumPy comes with, on all cores: the machine's SGEMM peak.

    Attributes:
        work: Multiply-adds of one product.
    """

    work = _SIZE**3

    def __init__(self) -> None:
        """Make two square matrices of normally distributed entries."""
        generator = np.random.default_rng(0)
        self._left, self._right = generator.standard_normal((2, _SIZE, _SIZE), dtype=np.float32)
        self._product = np.empty_like(self._left)

    def multiply(self, times: int) -> float:
        """Multiply as many times; return an entry of the product."""
        for _ in range(times):
            np.matmul(self._left, self._right, out=self._product)
        return float(self._product[0, 0])
