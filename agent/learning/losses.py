"""What the update takes the mean of: log-probabilities, clipped objectives and entropies of transitions."""

from __future__ import annotations

from ..process.backend import tf


def action_log_probs(logits: tf.Tensor, actions: tf.Tensor) -> tf.Tensor:
    """Return the log-probability of each action, shape (B,), under logits of shape (B, A)."""
    log_probs = tf.nn.log_softmax(logits)
    return tf.reduce_sum(tf.one_hot(actions, logits.shape[-1]) * log_probs, axis=1)


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


def entropies(logits: tf.Tensor) -> tf.Tensor:
    """Return the entropies of categorical policies with logits of shape (B, A), shape (B,), in nats."""
    log_probs = tf.nn.log_softmax(logits)
    return -tf.reduce_sum(tf.exp(log_probs) * log_probs, axis=1)


def mean(values: tf.Tensor, weights: tf.Tensor | None) -> tf.Tensor:
    """Return the mean of values, shape (B,), or with weights of mean 1, the mean of the products."""
    return tf.reduce_mean(values if weights is None else values * tf.cast(weights, values.dtype))


def clipped_to_norm(gradient: tf.Tensor, largest: float | tf.Tensor) -> tf.Tensor:
    """Return a gradient, shape (P,), scaled down to a norm where its own is larger (Pascanu et al. 2013, algorithm 1).

    Args:
        gradient: Of all weights of a network.
        largest: The norm; infinity leaves every gradient as it is.
    """
    return gradient * tf.minimum(1.0, largest / tf.norm(gradient))
