"""The objectives and losses of single transitions, and gradient clipping."""

from __future__ import annotations

from ..process.backend import tf


def clipped_objectives(ratios: tf.Tensor, advantages: tf.Tensor, clip_ratio: float | tf.Tensor) -> tf.Tensor:
    """Return the clipped surrogate objective of each transition (Schulman et al. 2017, equation 7).

    Args:
        ratios: Ratio of new to old probability of each action, shape (B,).
        advantages: Shape (B,).
        clip_ratio: Epsilon.

    Returns:
        The objectives to maximize, shape (B,).
    """
    clipped = tf.clip_by_value(ratios, 1.0 - clip_ratio, 1.0 + clip_ratio)
    return tf.minimum(ratios * advantages, clipped * advantages)


def mean(values: tf.Tensor, weights: tf.Tensor | None) -> tf.Tensor:
    """Return the mean of values, shape (B,), or their weighted mean, with weights of mean 1."""
    return tf.reduce_mean(values if weights is None else values * tf.cast(weights, values.dtype))


def squared_errors(
    values: tf.Tensor, targets: tf.Tensor, old_values: tf.Tensor | None, clip_range: float | tf.Tensor
) -> tf.Tensor:
    """Return the squared error of each value, or that of the clipped value if it is larger.

    The clipped loss is that of OpenAI's ``baselines`` (Huang et al., "The 37 Implementation Details of PPO", 2022,
    detail 9).

    Args:
        values: Shape (B,).
        targets: Shape (B,).
        old_values: Values of the critic before the update, shape (B,); None disables clipping.
        clip_range: Maximum distance of a clipped value from the old value.

    Returns:
        The squared errors, shape (B,).
    """
    errors = tf.square(targets - values)
    if old_values is None:
        return errors
    clipped = old_values + tf.clip_by_value(values - old_values, -clip_range, clip_range)
    return tf.maximum(errors, tf.square(targets - clipped))


def clipped_to_norm(gradient: tf.Tensor, largest: float | tf.Tensor) -> tf.Tensor:
    """Return a gradient, shape (P,), scaled down to a maximum norm (Pascanu et al. 2013, algorithm 1).

    Args:
        gradient: Gradient with respect to all weights of a network.
        largest: The maximum norm; infinity disables clipping.
    """
    return gradient * tf.minimum(1.0, largest / tf.norm(gradient))
