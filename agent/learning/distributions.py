"""Log-probabilities and entropies of action distributions in TensorFlow.

The counterparts in Numba, which also sample actions, are in ``agent.kernels.sampling``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

from ..environments.heads import ActionHead, CategoricalHead
from ..process.backend import tf

_LOG_OF_TWO_PI = math.log(2.0 * math.pi)


class Distribution(Protocol):
    """A batch of action distributions, parameterized by the rows of a network's outputs."""

    def log_probs(self, outputs: tf.Tensor, actions: tf.Tensor) -> tf.Tensor:
        """Return the log-probability of each action, or its log-density, shape (B,).

        Args:
            outputs: Shape (B, P).
            actions: Actions as stored in rollouts, shape (B, ...).
        """

    def entropies(self, outputs: tf.Tensor) -> tf.Tensor:
        """Return the entropies in nats, shape (B,).

        Args:
            outputs: Shape (B, P).
        """


class Categorical:
    """Independent categorical choices; the outputs are the concatenated logits of all choices."""

    def __init__(self, sizes: Sequence[int]) -> None:
        """Store the sizes.

        Args:
            sizes: Number of logits of each choice.
        """
        self._sizes = list(sizes)

    def log_probs(self, outputs: tf.Tensor, actions: tf.Tensor) -> tf.Tensor:
        """Return the log-probability of each action, summed over its choices, shape (B,).

        Args:
            outputs: Shape (B, A).
            actions: Chosen options, shape (B,), or (B, K) if an action consists of K choices.
        """
        if len(actions.shape) == 1:
            return _option_log_probs(outputs, actions)
        parts = zip(self._choices(outputs), tf.unstack(actions, axis=1), strict=True)
        return tf.add_n([_option_log_probs(part, options) for part, options in parts])

    def entropies(self, outputs: tf.Tensor) -> tf.Tensor:
        """Return the entropies in nats, summed over the choices, shape (B,).

        Args:
            outputs: Shape (B, A).
        """
        return tf.add_n([_choice_entropies(part) for part in self._choices(outputs)])

    def _choices(self, logits: tf.Tensor) -> list[tf.Tensor]:
        """Return the logits of each choice."""
        return [logits] if len(self._sizes) == 1 else tf.split(logits, self._sizes, axis=1)


def _option_log_probs(logits: tf.Tensor, options: tf.Tensor) -> tf.Tensor:
    """Return the log-probability of each option, shape (B,), under logits of shape (B, A)."""
    log_probs = tf.nn.log_softmax(logits)
    return tf.reduce_sum(tf.one_hot(options, logits.shape[-1]) * log_probs, axis=1)


def _choice_entropies(logits: tf.Tensor) -> tf.Tensor:
    """Return the entropies of categorical policies with logits of shape (B, A), shape (B,)."""
    log_probs = tf.nn.log_softmax(logits)
    return -tf.reduce_sum(tf.exp(log_probs) * log_probs, axis=1)


class DiagonalGaussian:
    """Independent normal distributions; the outputs are the means, followed by the log standard deviations."""

    def log_probs(self, outputs: tf.Tensor, actions: tf.Tensor) -> tf.Tensor:
        """Return the log-density of each action, shape (B,).

        Args:
            outputs: Shape (B, 2 K).
            actions: Shape (B, K).
        """
        means, log_stds = tf.split(outputs, 2, axis=1)
        distances = (actions - means) * tf.exp(-log_stds)
        return -0.5 * tf.reduce_sum(tf.square(distances) + 2.0 * log_stds + _LOG_OF_TWO_PI, axis=1)

    def entropies(self, outputs: tf.Tensor) -> tf.Tensor:
        """Return the differential entropies in nats, shape (B,), which may be negative.

        Args:
            outputs: Shape (B, 2 K).
        """
        _, log_stds = tf.split(outputs, 2, axis=1)
        return tf.reduce_sum(log_stds + 0.5 * (_LOG_OF_TWO_PI + 1.0), axis=1)


def distribution_of(head: ActionHead) -> Distribution:
    """Return the distribution of a head's actions."""
    return Categorical(head.sizes) if isinstance(head, CategoricalHead) else DiagonalGaussian()
