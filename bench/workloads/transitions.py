"""Initial weights and transitions that are the same for entrants in different processes."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class Transitions(NamedTuple):
    """Transitions for an update, in the order of the fields of ``agent.learning.minibatches.UpdateBatch``."""

    observations: Array
    actions: Array
    log_probs: Array
    advantages: Array
    returns: Array


def initial_weights() -> tuple[list[Array], list[Array]]:
    """Return Glorot-uniform weights of an actor and a critic with two hidden layers of 64 units."""
    generator = np.random.default_rng(0)
    return _network_weights(generator, 2), _network_weights(generator, 1)


def _network_weights(generator: np.random.Generator, num_outputs: int) -> list[Array]:
    sizes = (4, 64, 64, num_outputs)
    weights: list[Array] = []
    for inputs, outputs in itertools.pairwise(sizes):
        bound = np.sqrt(6 / (inputs + outputs))
        weights.append(generator.uniform(-bound, bound, (inputs, outputs)).astype(np.float32))
        weights.append(np.zeros(outputs, dtype=np.float32))
    return weights


def some_transitions(count: int) -> Transitions:
    """Return synthetic transitions, similar to those of a nearly uniform policy in CartPole.

    Args:
        count: Number of transitions.
    """
    generator = np.random.default_rng(1)
    return Transitions(
        generator.uniform(-1, 1, (count, 4)).astype(np.float32) * np.array([2.4, 2.0, 0.2, 2.0], dtype=np.float32),
        generator.integers(0, 2, count).astype(np.int32),
        np.log(generator.uniform(0.4, 0.6, count)).astype(np.float32),
        generator.standard_normal(count).astype(np.float32),
        generator.uniform(0, 60, count).astype(np.float32),
    )
