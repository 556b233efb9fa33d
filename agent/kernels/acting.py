"""Kernels in which a policy acts: the actor's forward pass and the choice of actions from its outputs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fastcartpole.kernels import kernel
from fastcartpole.random_streams import Streams

from .forward import CHUNK, MLPWeights, chunk_outputs, features_of, new_activations, write_outputs
from .sampling import choose_normal, choose_options, normal_log_prob, standard_normal

Array = npt.NDArray[np.float32]

LEAST_VARIANCE = 1e-6
"""Added to the variance of state-dependent exploration, which is 0 if all features are 0."""


class PolicySnapshot(NamedTuple):
    """A policy as it is when a rollout begins; it plays the whole rollout.

    Attributes:
        weights: Padded weights of the actor; None if the kernels do not support its layers.
        log_std: Logarithms of the standard deviations of Gaussian actions, shape (K,), float32; with state-dependent
            exploration, shape (F, K) for F features; None if actions are not Gaussian or ``outputs`` contains them.
        outputs: Function from observations, shape (N, D), to the actor's outputs, shape (N, P); used if there are no
            weights.
    """

    weights: MLPWeights | None
    log_std: Array | None = None
    outputs: Callable[[Array], Array] | None = None


@kernel()
def act(
    weights: MLPWeights,
    sizes: npt.NDArray[np.int64],
    observations: Array,
    action_streams: Streams,
    is_greedy: bool,
    actions: npt.NDArray[np.int64],
    log_probs: Array,
) -> None:
    """Choose actions for each row of observations, and write them and their log-probabilities.

    Args:
        weights: The actor's padded weights.
        sizes: Number of logits of each of K choices, shape (K,), int64.
        observations: Shape (N, D), float32.
        action_streams: Random streams of the actions, shape (4, N), uint64; unused if ``is_greedy``.
        is_greedy: Whether to take the most probable action instead of sampling.
        actions: Shape (N, K), int64, overwritten.
        log_probs: Shape (N,), float32, overwritten.
    """
    logits = np.empty((len(observations), sizes.sum()), dtype=np.float32)
    write_outputs(weights, observations, logits)
    choose_options(sizes, logits, action_streams, is_greedy, actions, log_probs)


@kernel()
def act_in_box(
    weights: MLPWeights,
    log_std: Array,
    observations: Array,
    action_streams: Streams,
    is_greedy: bool,
    actions: Array,
    log_probs: Array,
) -> None:
    """Choose a Gaussian action for each row of observations, and write it and its log-density.

    Args:
        weights: The actor's padded weights; its outputs are the means.
        log_std: Logarithms of the standard deviations, shape (K,), float32.
        observations: Shape (N, D), float32.
        action_streams: Random streams of the actions, shape (4, N), uint64; unused if ``is_greedy``.
        is_greedy: Whether to take the means instead of sampling.
        actions: Shape (N, K), float32, overwritten.
        log_probs: Shape (N,), float32, overwritten.
    """
    outputs = np.empty((len(observations), 2 * log_std.size), dtype=np.float32)
    outputs[:, log_std.size :] = log_std
    write_outputs(weights, observations, outputs[:, : log_std.size])
    choose_normal(outputs, action_streams, is_greedy, actions, log_probs)


@kernel()
def draw_noise(log_std: Array, action_streams: Streams, noise: npt.NDArray[np.float64]) -> None:
    """Draw each environment's matrix that maps features to noise (Raffin et al. 2021, section 3).

    Args:
        log_std: Logarithms of the standard deviations of the entries, shape (F, K), float32.
        action_streams: Random streams of the actions, shape (4, N), uint64.
        noise: Shape (N, F, K), float64, overwritten.
    """
    for i in range(len(noise)):
        for f in range(log_std.shape[0]):
            for k in range(log_std.shape[1]):
                noise[i, f, k] = math.exp(np.float64(log_std[f, k])) * standard_normal(action_streams, i)


@kernel()
def act_with_noise(
    weights: MLPWeights,
    log_std: Array,
    noise: npt.NDArray[np.float64],
    observations: Array,
    is_greedy: bool,
    actions: Array,
    log_probs: Array,
) -> None:
    """Choose actions by state-dependent exploration (Raffin et al. 2021, equations 5 and 6), and write them.

    An action is the mean plus the product of the features (the outputs of the last hidden layer) with a noise matrix
    that is held over many steps. Marginalized over the noise, the action is normally distributed with variance
    sum_f feature_f^2 std_f^2, which defines its density.

    Args:
        weights: The actor's padded weights; its outputs are the means.
        log_std: Shape (F, K), float32.
        noise: Noise matrices from ``draw_noise``, shape (N, F, K), float64.
        observations: Shape (N, D), float32.
        is_greedy: Whether to take the means instead of sampling.
        actions: Shape (N, K), float32, overwritten.
        log_probs: Log-densities, shape (N,), float32, overwritten.
    """
    num_features, num_entries = log_std.shape
    variances = np.exp(2.0 * log_std.astype(np.float64))
    log_stds = np.empty(num_entries, dtype=np.float32)
    means = np.empty(num_entries, dtype=np.float32)
    for start in range(0, len(observations), CHUNK):
        stop = min(start + CHUNK, len(observations))
        inputs = new_activations(weights, stop - start)
        scratch = np.zeros_like(inputs)
        outputs = chunk_outputs(start, stop, weights, observations, inputs, scratch)
        features = features_of(weights, inputs, scratch)
        for i in range(start, stop):
            for k in range(num_entries):
                variance, deviation = LEAST_VARIANCE, 0.0
                for f in range(num_features):
                    feature = np.float64(features[f, i - start])
                    variance += feature * feature * variances[f, k]
                    deviation += feature * noise[i, f, k]
                means[k] = outputs[k, i - start]
                log_stds[k] = 0.5 * math.log(variance)
                actions[i, k] = np.float64(means[k]) + (0.0 if is_greedy else deviation)
            log_probs[i] = normal_log_prob(actions[i], means, log_stds)
