"""What the update takes the mean of: clipped objectives and squared errors of transitions."""

from __future__ import annotations

from ..process.backend import tf


def clipped_objectives(ratios: tf.Tensor, advantages: tf.Tensor, clip_ratio: float | tf.Tensor) -> tf.Tensor:
    """Return the clipped surrogate objective of each transition (Schulman et al. 2017, equation 7).

    Args:
        ratios: New over old probability of each action, shape (B,).
        advantages: Shape (B,).
        clip_ratio: Epsilon.

    Returns:
        Shape (B,); its mean is to be maximized.
    """
    clipped = tf.clip_by_value(ratios, 1.0 - clip_ratio, 1.0 + clip_ratio)
    return tf.minimum(ratios * advantages, clipped * advantages)


def mean(values: tf.Tensor, weights: tf.Tensor | None) -> tf.Tensor:
    """Return the mean of values, shape (B,), or with weights of mean 1, the mean of the products."""
    return tf.reduce_mean(values if weights is None else values * tf.cast(weights, values.dtype))


def squared_errors(
    values: tf.Tensor, targets: tf.Tensor, old_values: tf.Tensor | None, clip_range: float | tf.Tensor
) -> tf.Tensor:
    """Return the squared error of each value or, where it is larger, that of the value clipped to near the old one.

    The clipped loss is that of OpenAI's ``baselines`` (Huang et al., "The 37 Implementation Details of PPO", 2022,
    detail 9).

    Args:
        values: Shape (B,).
        targets: Shape (B,).
        old_values: Those of the critic before the update, shape (B,); None where nothing is clipped.
        clip_range: How far from them a value may be.

    Returns:
        Shape (B,).
    """
    errors = tf.square(targets - values)
    if old_values is None:
        return errors
    clipped = old_values + tf.clip_by_value(values - old_values, -clip_range, clip_range)
    return tf.maximum(errors, tf.square(targets - clipped))


def clipped_to_norm(gradient: tf.Tensor, largest: float | tf.Tensor) -> tf.Tensor:
    """Return a gradient, shape (P,), scaled down to a norm where its own is larger (Pascanu et al. 2013, algorithm 1).

    Args:
        gradient: Of all weights of a network.
        largest: The norm; infinity leaves every gradient as it is.
    """
    return gradient * tf.minimum(1.0, largest / tf.norm(gradient))
