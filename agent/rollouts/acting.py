"""How the policies of rollouts and evaluations act in vector environments."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from fastcartpole.random_streams import Streams, seed_streams

from ..environments.heads import ActionHead, CategoricalHead
from ..kernels.acting import PolicySnapshot, act, act_in_box, act_with_noise, draw_noise
from ..kernels.forward import MLPWeights
from ..kernels.sampling import choose_normal, choose_options

Row = npt.NDArray[np.float32]


class Act(Protocol):
    """Chooses an action for each row of observations."""

    def __call__(
        self, observations: Row, action_streams: Streams, is_greedy: bool, actions: npt.NDArray[Any], log_probs: Row, /
    ) -> None:
        """Write an action for each row, and the logarithm of its probability or density.

        Args:
            observations: Shape (N, D), float32.
            action_streams: The streams that actions are drawn with, shape (4, N), uint64; left alone if ``is_greedy``.
            is_greedy: Whether the most probable action is taken instead.
            actions: Shape (N, K), of the head's ``acting_dtype``, overwritten.
            log_probs: Shape (N,), float32, overwritten.
        """


def acting(policy: PolicySnapshot, head: ActionHead, noise_interval: int | None = None) -> Act:
    """Return how a policy acts, from now to the end of a rollout.

    Args:
        policy: The policy.
        head: What its outputs mean.
        noise_interval: Steps after which state-dependent exploration draws other noise; None for each rollout.
    """
    if isinstance(head, CategoricalHead):
        sizes = np.array(head.sizes, dtype=np.int64)
        if policy.weights is None:
            return _asking(policy, partial(choose_options, sizes))
        return partial(act, policy.weights, sizes)
    if policy.weights is None or policy.log_std is None:
        return _asking(policy, choose_normal)
    if policy.log_std.ndim == 1:
        return partial(act_in_box, policy.weights, policy.log_std)
    return _HeldNoise(policy.weights, policy.log_std, noise_interval)


def choosing(
    policy: PolicySnapshot, head: ActionHead, generator: np.random.Generator | None = None
) -> Callable[[Row], npt.NDArray[Any]]:
    """Return a function from observations, shape (N, D), float32, to actions, shape (N, K).

    Args:
        policy: The policy.
        head: What its outputs mean.
        generator: Source of the random numbers that actions are drawn with; None takes the most probable.
    """
    act = acting(policy, head)

    def actions_for(observations: Row) -> npt.NDArray[Any]:
        number = len(observations)
        actions: npt.NDArray[Any] = np.empty((number, head.num_entries), dtype=head.acting_dtype)
        streams = np.zeros((4, 0), dtype=np.uint64)
        if generator is not None:
            streams = np.zeros((4, number), dtype=np.uint64)
            seed_streams(generator.integers(0, 2**64, number, dtype=np.uint64), np.arange(number), streams)
        act(observations, streams, generator is None, actions, np.empty(number, dtype=np.float32))
        return actions

    return actions_for


def _asking(policy: PolicySnapshot, choose: Callable[..., None]) -> Act:
    """Return how a policy acts that is asked for its outputs, by which something chooses."""
    outputs = policy.outputs
    assert outputs is not None

    def ask(
        observations: Row, action_streams: Streams, is_greedy: bool, actions: npt.NDArray[Any], log_probs: Row, /
    ) -> None:
        choose(outputs(observations), action_streams, is_greedy, actions, log_probs)

    return ask


class _HeldNoise:
    """State-dependent exploration: noise that is drawn with the first step, and anew after so many."""

    def __init__(self, weights: MLPWeights, log_std: Row, interval: int | None) -> None:
        self._weights = weights
        self._log_std = log_std
        self._interval = interval
        self._noise = np.zeros((0, *log_std.shape))
        self._steps = 0

    def __call__(
        self, observations: Row, action_streams: Streams, is_greedy: bool, actions: npt.NDArray[Any], log_probs: Row, /
    ) -> None:
        if len(self._noise) != len(observations):
            self._noise = np.zeros((len(observations), *self._log_std.shape))
        is_due = self._steps % self._interval == 0 if self._interval else self._steps == 0
        if is_due and not is_greedy:
            draw_noise(self._log_std, action_streams, self._noise)
        self._steps += 1
        act_with_noise(self._weights, self._log_std, self._noise, observations, is_greedy, actions, log_probs)
