"""The data of an update: the transitions of a rollout, their minibatches, and the pieces of a large minibatch."""

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
    """The data for one update: B transitions of one rollout.

    Attributes:
        observations: Shape (B, D), float32.
        actions: Shape (B,), int32; (B, K), int32, if an action consists of K choices; (B, K), float32, if actions are
            continuous.
        log_probs: Log-probabilities, or log-densities, of the actions under the policy that took them, shape (B,),
            float32.
        advantages: Shape (B,), float32; already normalized if the configuration normalizes over the rollout.
        value_targets: Regression targets of the critic, shape (B,), float32.
        weights: Weight of each transition in means, at least 0, shape (B,), float32; None for equal weights.
        values: The critic's values before the update, shape (B,), float32; None if its loss is not clipped.
    """

    observations: npt.NDArray[np.float32]
    actions: npt.NDArray[np.int32] | npt.NDArray[np.float32]
    log_probs: npt.NDArray[np.float32]
    advantages: npt.NDArray[np.float32]
    value_targets: npt.NDArray[np.float32]
    weights: npt.NDArray[np.float32] | None = None
    values: npt.NDArray[np.float32] | None = None


def with_weights_of_mean_one(batch: UpdateBatch) -> UpdateBatch:
    """Return a minibatch with its weights scaled to mean 1, so that means over its pieces add up; zeros stay zeros."""
    if batch.weights is None:
        return batch
    smallest = tf.constant(np.finfo(np.float32).tiny)
    return batch._replace(weights=batch.weights / tf.maximum(tf.reduce_mean(batch.weights), smallest))


def of_each(function: Callable[[tf.Tensor], tf.Tensor], batch: UpdateBatch) -> UpdateBatch:
    """Return a batch with a function applied to each array."""
    return UpdateBatch._make(None if array is None else function(array) for array in batch)


def mean_over_pieces(
    function: Callable[[UpdateBatch], list[tf.Tensor]], batch: UpdateBatch, shapes: Sequence[tuple[int, ...]]
) -> list[tf.Tensor]:
    """Return ``function(batch)``, computed piece by piece, for a function that returns means over transitions.

    The activations of a piece fit the L2 cache; those of a large minibatch would not.

    Args:
        function: Maps transitions to a list of means over them.
        batch: B transitions; B must be static.
        shapes: Shapes of the results of ``function``.

    Returns:
        The means over all transitions.
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
    """Return the number of equal pieces, of 512 to 1,024 transitions, of a minibatch; 1 if it cannot be divided so."""
    for pieces in range(-(-size // _LARGEST_PIECE), size // _SMALLEST_PIECE + 1):
        if size % pieces == 0:
            return pieces
    return 1


def minibatch_indices(generator: np.random.Generator, config: PPOConfig) -> npt.NDArray[np.int32]:
    """Return the indices of the transitions in each minibatch of an update.

    Actor and critic use the same rows, each as many as it has gradient steps.

    Args:
        generator: Provides one number that determines the order of all passes; not used if the whole rollout is one
            batch.
        config: Provides the sizes of rollout and minibatch and the number of passes.

    Returns:
        Indices into the rollout, shape (iterations, gradient_batch_size), int32. Within a pass, every index is unique.
        If the whole rollout is one batch, rows are empty: shape (iterations, 0).
    """
    size, count = config.gradient_batch_size, config.num_minibatches
    passes = max(config.policy_update_epochs, config.value_update_epochs)
    if size == config.rollout_size:
        return np.empty((passes, 0), dtype=np.int32)
    orders = np.empty((passes, count * size), dtype=np.int32)
    shuffled_passes(generator.integers(2**64, dtype=np.uint64), config.rollout_size, orders)
    return orders.reshape(passes * count, size)
