"""Running statistics, and normalization with them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fastcartpole.kernels import kernel

Array = npt.NDArray[np.float32]
Matrix = npt.NDArray[np.float64]

LIMIT = np.float32(10.0)
"""Normalized observations and scaled rewards are clipped to [-LIMIT, LIMIT]."""
LEAST_DEVIATION = np.float32(1e-7)
"""The smallest divisor, as in ``keras.layers.Normalization``."""


class Moments(NamedTuple):
    """Count, means and sums of squared deviations of rows of D numbers.

    Attributes:
        num_rows: Number of rows, shape (), float64.
        means: Means of the rows, shape (D,), float64.
        squares: Sums of squared deviations from the means, shape (D,), float64.
    """

    num_rows: npt.NDArray[np.float64]
    means: npt.NDArray[np.float64]
    squares: npt.NDArray[np.float64]

    @classmethod
    def of_nothing(cls, size: int) -> Moments:
        """Return the moments of no rows, each of ``size`` numbers."""
        return cls(np.zeros(()), np.zeros(size), np.zeros(size))

    def including(self, rows: npt.NDArray[np.floating], valid: npt.NDArray[np.bool_]) -> Moments:
        """Return these moments updated with more rows.

        Args:
            rows: Rows to add, shape (B, D).
            valid: True for the rows to include, shape (B,), bool.
        """
        num_rows, means, squares = moments_of(rows, valid)
        return self.merged(Moments(np.array(num_rows), means, squares))

    def merged(self, others: Moments) -> Moments:
        """Return these and other moments combined (Chan et al. 1979, equation 2.1)."""
        if not others.num_rows:
            return self
        total = self.num_rows + others.num_rows
        distances = others.means - self.means
        # Each share is at most 1: nothing overflows, however many rows there are.
        share = others.num_rows / total
        return Moments(
            np.array(total),
            self.means + distances * share,
            self.squares + others.squares + distances**2 * (self.num_rows * share),
        )

    @property
    def variances(self) -> Array:
        """The variances, shape (D,), float32; ones if there are no rows."""
        if not self.num_rows:
            return np.ones(self.means.size, dtype=np.float32)
        with np.errstate(over="ignore"):
            return (self.squares / self.num_rows).astype(np.float32)

    @property
    def deviations(self) -> Array:
        """The standard deviations, shape (D,), float32."""
        return np.sqrt(self.variances)


@kernel()
def moments_of(rows: npt.NDArray[np.floating], valid: npt.NDArray[np.bool_]) -> tuple[float, Matrix, Matrix]:
    """Return count, means and sums of squared deviations of rows, in float64.

    Args:
        rows: Shape (B, D).
        valid: True for the rows to include, shape (B,), bool.
    """
    count = 0.0
    means, squares = np.zeros(rows.shape[1]), np.zeros(rows.shape[1])
    for i in range(len(rows)):
        if valid[i]:
            count += 1.0
            for d in range(rows.shape[1]):
                means[d] += rows[i, d]
    means /= max(count, 1.0)
    for i in range(len(rows)):
        if valid[i]:
            for d in range(rows.shape[1]):
                distance = rows[i, d] - means[d]
                squares[d] += distance * distance
    return count, means, squares


@kernel(inlined=True)
def normalized_number(number: np.float32, mean: np.float32, deviation: np.float32) -> np.float32:
    """Return the distance of a number from the mean in standard deviations, clipped to ``LIMIT``."""
    return min(max((number - mean) / max(deviation, LEAST_DEVIATION), -LIMIT), LIMIT)


@kernel()
def normalized_rows(rows: Array, means: Array, deviations: Array) -> Array:
    """Return normalized rows, the inputs of a network, shape (B, D), float32.

    Args:
        rows: Shape (B, D), float32.
        means: Shape (D,), float32.
        deviations: Shape (D,), float32.
    """
    results = np.empty_like(rows)
    for i in range(len(rows)):
        for d in range(rows.shape[1]):
            results[i, d] = normalized_number(rows[i, d], means[d], deviations[d])
    return results


@kernel()
def discounted_returns(
    rewards: Array, ended: npt.NDArray[np.bool_], gamma: float, running: npt.NDArray[np.float64]
) -> Matrix:
    """Return the running discounted sum of each environment's rewards after each step, shape (T, N), float64.

    Args:
        rewards: Shape (T, N), float32.
        ended: Whether the episode ended with this step, shape (T, N), bool; the sum then restarts with the next step.
        gamma: Discount factor.
        running: Sums before the first step, shape (N,), float64; overwritten with the sums after the last step.
    """
    results = np.empty(rewards.shape)
    for t in range(rewards.shape[0]):
        for n in range(rewards.shape[1]):
            running[n] = gamma * running[n] + rewards[t, n]
            results[t, n] = running[n]
            if ended[t, n]:
                running[n] = 0.0
    return results
