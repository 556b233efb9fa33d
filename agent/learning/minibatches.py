"""What an update learns from: the transitions of a rollout, their minibatches, and the pieces of a large minibatch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..config import PPOConfig
from ..kernels.shuffling import shuffled_passes
from ..process.backend import tf

_LARGEST_PIECE = 1024
_SMALLEST_PIECE = 512


class UpdateBatch(NamedTuple):
    """What the networks learn from, B transitions of one rollout.

    Attributes:
        observations: Shape (B, D), float32.
        actions: Shape (B,), int32; (B, K) where an action is K choices; (B, K), float32, where it is continuous.
        log_probs: Log-probabilities of the actions when they were taken, or logarithms of their densities, shape (B,),
            float32.
        advantages: Shape (B,), float32; normalized over the rollout where the configuration says so.
        value_targets: What the critic regresses on, shape (B,), float32.
        weights: How much each counts in means, at least 0, shape (B,), float32; None where all count alike.
        values: The critic's values before the update, shape (B,), float32; None where its loss is not clipped.
    """

    observations: npt.NDArray[np.float32]
    actions: npt.NDArray[np.int32] | npt.NDArray[np.float32]
    log_probs: npt.NDArray[np.float32]
    advantages: npt.NDArray[np.float32]
    value_targets: npt.NDArray[np.float32]
    weights: npt.NDArray[np.float32] | None = None
    values: npt.NDArray[np.float32] | None = None


def with_weights_of_mean_one(batch: UpdateBatch) -> UpdateBatch:
    """Return a minibatch whose weights have mean 1, so that the means of its pieces add up; zeros stay zeros."""
    if batch.weights is None:
        return batch
    smallest = tf.constant(np.finfo(np.float32).tiny)
    return batch._replace(weights=batch.weights / tf.maximum(tf.reduce_mean(batch.weights), smallest))


def of_each(function: Callable[[tf.Tensor], tf.Tensor], batch: UpdateBatch) -> UpdateBatch:
    """Return a batch of what a function makes of each array."""
    return UpdateBatch._make(None if array is None else function(array) for array in batch)


def mean_over_pieces(
    function: Callable[[UpdateBatch], list[tf.Tensor]], batch: UpdateBatch, shapes: Sequence[tuple[int, ...]]
) -> list[tf.Tensor]:
    """Return ``function(batch)`` for a function whose results are means over transitions, computed piece by piece.

    The activations of a large minibatch would not fit the second-level cache; those of a piece do.

    Args:
        function: Takes some transitions, returns means over them.
        batch: B transitions, B static.
        shapes: Shapes of its results.

    Returns:
        The means over all of them.
    """
    pieces = number_of_pieces(batch.observations.shape[0])
    if pieces == 1:
        return function(batch)
    size = batch.observations.shape[0] // pieces

    divided = of_each(lambda array: tf.reshape(array, (pieces, size, *array.shape[1:])), batch)

    def add(piece: tf.Tensor, *sums: tf.Tensor) -> tuple[tf.Tensor, ...]:
        means = function(of_each(lambda array: array[piece], divided))
        return piece + 1, *(total + mean for total, mean in zip(sums, means, strict=True))

    zeros = [tf.zeros(shape) for shape in shapes]
    _, *sums = tf.while_loop(lambda piece, *_: piece < pieces, add, (tf.constant(0), *zeros))
    return [total / pieces for total in sums]


def number_of_pieces(size: int) -> int:
    """Return into how many equal pieces of at most 1,024, and at least 512, to divide a minibatch; 1 if into none."""
    for pieces in range(-(-size // _LARGEST_PIECE), size // _SMALLEST_PIECE + 1):
        if size % pieces == 0:
            return pieces
    return 1


def minibatch_indices(generator: np.random.Generator, config: PPOConfig) -> npt.NDArray[np.int32]:
    """Return which transitions make up each minibatch of an update.

    Actor and critic take the same rows, each as many as it has iterations.

    Args:
        generator: Moved on by one number, from which the orders of all passes are made, unless the whole rollout is one
            batch.
        config: Sizes of rollout and minibatch, and passes.

    Returns:
        Indices into the rollout, shape (iterations, gradient_batch_size), int32; within a pass no transition stands
        twice. Where the whole rollout is one batch, a row holds no indices: shape (iterations, 0).
    """
    size, count = config.gradient_batch_size, config.num_minibatches
    passes = max(config.policy_update_epochs, config.value_update_epochs)
    if size == config.rollout_size:
        return np.empty((passes, 0), dtype=np.int32)
    orders = np.empty((passes, count * size), dtype=np.int32)
    shuffled_passes(generator.integers(2**64, dtype=np.uint64), config.rollout_size, orders)
    return orders.reshape(passes * count, size)
