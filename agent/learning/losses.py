"""What the update takes the mean of: log-probabilities, clipped objectives and entropies of transitions."""

from __future__ import annotations

from collections.abc import Sequence

from ..process.backend import tf


def action_log_probs(logits: tf.Tensor, actions: tf.Tensor, sizes: Sequence[int]) -> tf.Tensor:
    """Return the log-probability of each action: the sum of those of its choices.

    Args:
        logits: Those of all choices, one after the other, shape (B, A).
        actions: Options chosen, shape (B,), or (B, K) where an action is K choices.
        sizes: How many logits each choice has.

    Returns:
        Shape (B,).
    """
    if len(actions.shape) == 1:
        return _option_log_probs(logits, actions)
    parts = zip(_choices(logits, sizes), tf.unstack(actions, axis=1), strict=True)
    return tf.add_n([_option_log_probs(part, options) for part, options in parts])


def _option_log_probs(logits: tf.Tensor, options: tf.Tensor) -> tf.Tensor:
    """Return the log-probability of each option, shape (B,), under logits of shape (B, A)."""
    log_probs = tf.nn.log_softmax(logits)
    return tf.reduce_sum(tf.one_hot(options, logits.shape[-1]) * log_probs, axis=1)


def _choices(logits: tf.Tensor, sizes: Sequence[int]) -> list[tf.Tensor]:
    """Return the logits of each choice."""
    return [logits] if len(sizes) == 1 else tf.split(logits, list(sizes), axis=1)


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


def entropies(logits: tf.Tensor, sizes: Sequence[int]) -> tf.Tensor:
    """Return the entropies of policies in nats, shape (B,): the sums of those of their choices.

    Args:
        logits: Those of all choices, one after the other, shape (B, A).
        sizes: How many logits each choice has.
    """
    return tf.add_n([_choice_entropies(part) for part in _choices(logits, sizes)])


def _choice_entropies(logits: tf.Tensor) -> tf.Tensor:
    """Return the entropies of categorical policies with logits of shape (B, A), shape (B,)."""
    log_probs = tf.nn.log_softmax(logits)
    return -tf.reduce_sum(tf.exp(log_probs) * log_probs, axis=1)


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
