"""Sampling and greedy choice of actions, from categorical and from normal distributions."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from fastcartpole.kernels import kernel
from fastcartpole.random_streams import Streams, next_double

_HALF_LOG_OF_TWO_PI = 0.5 * math.log(2.0 * math.pi)


@kernel()
def sample_of_two(logit_0: float, logit_1: float, uniform: float) -> tuple[int, float]:
    """Draw one of two actions.

    Args:
        logit_0: Logit of action 0.
        logit_1: Logit of action 1.
        uniform: A float64 drawn uniformly from [0, 1).

    Returns:
        ``(action, log_prob)``: 0 or 1, and the natural logarithm of its probability, float64.
    """
    margin = np.float64(logit_0) - np.float64(logit_1)
    probability_0 = 1.0 / (1.0 + math.exp(-margin))
    action = 0 if uniform < probability_0 else 1
    # log sigmoid(m) = min(m, 0) - log1p(exp(-|m|)) neither overflows nor loses the small probabilities.
    chosen_margin = margin if action == 0 else -margin
    return action, min(chosen_margin, 0.0) - math.log1p(math.exp(-abs(chosen_margin)))


@kernel()
def sample_action(logits: npt.NDArray[np.float32], uniform: float) -> tuple[int, float]:
    """Draw an action: the first whose cumulative probability exceeds ``uniform``.

    Args:
        logits: Shape (A,), float32.
        uniform: A float64 drawn uniformly from [0, 1).

    Returns:
        ``(action, log_prob)``: its index, and the natural logarithm of its probability, float64.
    """
    if logits.size == 2:
        return sample_of_two(logits[0], logits[1], uniform)
    highest = np.float64(logits[0])
    for logit in logits:
        highest = max(highest, np.float64(logit))
    total = 0.0
    for logit in logits:
        total += math.exp(np.float64(logit) - highest)
    action, cumulative = 0, math.exp(np.float64(logits[0]) - highest)
    # Rounding may leave the sum below the total: the last action takes the rest.
    while action < logits.size - 1 and not uniform * total < cumulative:
        action += 1
        cumulative += math.exp(np.float64(logits[action]) - highest)
    return action, np.float64(logits[action]) - highest - math.log(total)


@kernel()
def greedy_action(logits: npt.NDArray[np.float32]) -> tuple[int, float]:
    """Return the most probable action, the first in case of ties, and its log-probability."""
    action = 0
    for candidate in range(1, logits.size):
        if logits[candidate] > logits[action]:
            action = candidate
    total = 0.0
    for logit in logits:
        total += math.exp(np.float64(logit) - np.float64(logits[action]))
    return action, -math.log(total)


@kernel()
def choose_sampled(
    logits: npt.NDArray[np.float32],
    sizes: npt.NDArray[np.int64],
    uniforms: npt.NDArray[np.float64],
    options: npt.NDArray[np.int64],
) -> float:
    """Draw an option for each of K independent choices; see ``sample_action``.

    Args:
        logits: Logits of all choices, concatenated, shape (A,), float32.
        sizes: Number of logits of each choice, shape (K,), int64.
        uniforms: Numbers drawn uniformly from [0, 1), shape (K,), float64.
        options: Overwritten with the options, shape (K,), int64.

    Returns:
        The joint log-probability, which is the sum over choices.
    """
    start, total = 0, 0.0
    for k in range(sizes.size):
        options[k], log_prob = sample_action(logits[start : start + sizes[k]], uniforms[k])
        total += log_prob
        start += sizes[k]
    return total


@kernel()
def choose_greedily(
    logits: npt.NDArray[np.float32], sizes: npt.NDArray[np.int64], options: npt.NDArray[np.int64]
) -> float:
    """Take the most probable option of each of K choices; arguments and result are as in ``choose_sampled``."""
    start, total = 0, 0.0
    for k in range(sizes.size):
        options[k], log_prob = greedy_action(logits[start : start + sizes[k]])
        total += log_prob
        start += sizes[k]
    return total


@kernel()
def choose_options(
    sizes: npt.NDArray[np.int64],
    logits: npt.NDArray[np.float32],
    action_streams: Streams,
    is_greedy: bool,
    options: npt.NDArray[np.int64],
    log_probs: npt.NDArray[np.float32],
) -> None:
    """Choose options for each row of logits, and write them and their joint log-probabilities.

    Args:
        sizes: Number of logits of each of K choices, shape (K,), int64.
        logits: Shape (N, A), float32.
        action_streams: Random streams of the actions, shape (4, N), uint64; unused if ``is_greedy``.
        is_greedy: Whether to take the most probable options instead of sampling.
        options: Shape (N, K), int64, overwritten.
        log_probs: Shape (N,), float32, overwritten.
    """
    uniforms = np.empty(sizes.size)
    for i in range(len(logits)):
        if is_greedy:
            log_probs[i] = choose_greedily(logits[i], sizes, options[i])
            continue
        for k in range(sizes.size):
            uniforms[k] = next_double(action_streams, i)
        log_probs[i] = choose_sampled(logits[i], sizes, uniforms, options[i])


@kernel()
def standard_normal(streams: Streams, index: int) -> float:
    """Draw a float64 from the standard normal distribution, from two numbers of one stream (Box and Muller 1958)."""
    # 1 - u is greater than 0, so its logarithm is finite.
    radius = math.sqrt(-2.0 * math.log(1.0 - next_double(streams, index)))
    return radius * math.cos(2.0 * math.pi * next_double(streams, index))


@kernel()
def normal_log_prob(
    action: npt.NDArray[np.float32], means: npt.NDArray[np.float32], log_stds: npt.NDArray[np.float32]
) -> float:
    """Return the log-density of an action under independent normal distributions.

    Args:
        action: Shape (K,), float32.
        means: Shape (K,), float32.
        log_stds: Logarithms of the standard deviations, shape (K,), float32.

    Returns:
        The sum of the entries' log-densities, float64.
    """
    total = 0.0
    for k in range(action.size):
        log_std = np.float64(log_stds[k])
        distance = (np.float64(action[k]) - np.float64(means[k])) / math.exp(log_std)
        total -= 0.5 * distance * distance + log_std + _HALF_LOG_OF_TWO_PI
    return total


@kernel()
def choose_normal(
    outputs: npt.NDArray[np.float32],
    action_streams: Streams,
    is_greedy: bool,
    actions: npt.NDArray[np.float32],
    log_probs: npt.NDArray[np.float32],
) -> None:
    """Choose actions for each row of outputs, and write them and their log-densities.

    Args:
        outputs: Means, followed by the logarithms of the standard deviations, shape (N, 2 K), float32.
        action_streams: Random streams of the actions, shape (4, N), uint64; unused if ``is_greedy``.
        is_greedy: Whether to take the means instead of sampling.
        actions: Shape (N, K), float32, overwritten.
        log_probs: Shape (N,), float32, overwritten.
    """
    num_entries = actions.shape[1]
    for i in range(len(outputs)):
        means, log_stds = outputs[i, :num_entries], outputs[i, num_entries:]
        for k in range(num_entries):
            noise = 0.0 if is_greedy else math.exp(np.float64(log_stds[k])) * standard_normal(action_streams, i)
            actions[i, k] = np.float64(means[k]) + noise
        # The density of the stored action in single precision, which the update will see.
        log_probs[i] = normal_log_prob(actions[i], means, log_stds)


def normal_actions(outputs: npt.NDArray[np.float32], generator: np.random.Generator | None) -> npt.NDArray[np.float32]:
    """Return the actions that a Gaussian policy takes.

    Args:
        outputs: Means, followed by the logarithms of the standard deviations, shape (B, 2 K), float32.
        generator: Source of the random numbers for sampling; None takes the means.

    Returns:
        Shape (B, K), float32.
    """
    means, log_stds = np.split(outputs.astype(np.float64), 2, axis=1)
    noise = 0.0 if generator is None else np.exp(log_stds) * generator.standard_normal(means.shape)
    return (means + noise).astype(np.float32)


def chosen_actions(
    logits: npt.NDArray[np.float32], sizes: tuple[int, ...], generator: np.random.Generator | None
) -> npt.NDArray[np.int64]:
    """Return the actions that a categorical policy takes.

    Args:
        logits: Shape (B, A), float32.
        sizes: Number of logits of each of K choices.
        generator: Source of the random numbers for sampling; None takes the most probable options.

    Returns:
        Options numbered from 0, shape (B, K), int64.
    """
    options = np.empty((len(logits), len(sizes)), dtype=np.int64)
    if generator is None:
        _choose_greedily(logits, np.array(sizes, dtype=np.int64), options)
    else:
        _choose_sampled(logits, np.array(sizes, dtype=np.int64), generator.random(options.shape), options)
    return options


# Two kernels, because most processes need only one of them and compilation takes time.
@kernel()
def _choose_greedily(
    logits: npt.NDArray[np.float32], sizes: npt.NDArray[np.int64], options: npt.NDArray[np.int64]
) -> None:
    """Choose the most probable options for each row of logits."""
    for i in range(len(logits)):
        choose_greedily(logits[i], sizes, options[i])


@kernel()
def _choose_sampled(
    logits: npt.NDArray[np.float32],
    sizes: npt.NDArray[np.int64],
    uniforms: npt.NDArray[np.float64],
    options: npt.NDArray[np.int64],
) -> None:
    """Draw options for each row of logits."""
    for i in range(len(logits)):
        choose_sampled(logits[i], sizes, uniforms[i], options[i])
