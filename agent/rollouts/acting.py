"""How policies choose actions in vector environments, for rollouts and evaluations."""

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
        """Write an action for each row, and its log-probability or log-density.

        Args:
            observations: Shape (N, D), float32.
            action_streams: Random streams of the actions, shape (4, N), uint64; unused if ``is_greedy``.
            is_greedy: Whether to take the most probable action instead of sampling.
            actions: Shape (N, K), with the head's ``acting_dtype``, overwritten.
            log_probs: Shape (N,), float32, overwritten.
        """


def acting(policy: PolicySnapshot, head: ActionHead, noise_interval: int | None = None) -> Act:
    """Return the function that chooses a policy's actions during one rollout.

    Args:
        policy: The policy.
        head: Action head that interprets the actor's outputs.
        noise_interval: Number of steps after which state-dependent exploration draws new noise; None draws it once per
            rollout.
    """
    if isinstance(head, CategoricalHead):
        sizes = np.array(head.sizes, dtype=np.int64)
        if policy.weights is None:
            return _acting_on_outputs(policy, partial(choose_options, sizes))
        return partial(act, policy.weights, sizes)
    if policy.weights is None or policy.log_std is None:
        return _acting_on_outputs(policy, choose_normal)
    if policy.log_std.ndim == 1:
        return partial(act_in_box, policy.weights, policy.log_std)
    return _HeldNoise(policy.weights, policy.log_std, noise_interval)


def choosing(
    policy: PolicySnapshot, head: ActionHead, generator: np.random.Generator | None = None
) -> Callable[[Row], npt.NDArray[Any]]:
    """Return a function from observations, shape (N, D), float32, to actions, shape (N, K).

    Args:
        policy: The policy.
        head: Action head that interprets the actor's outputs.
        generator: Source of the random numbers for sampling; None takes the most probable actions.
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


def _acting_on_outputs(policy: PolicySnapshot, choose: Callable[..., None]) -> Act:
    """Return a function that computes the policy's outputs and chooses actions from them."""
    outputs = policy.outputs
    assert outputs is not None

    def act_on_outputs(
        observations: Row, action_streams: Streams, is_greedy: bool, actions: npt.NDArray[Any], log_probs: Row, /
    ) -> None:
        choose(outputs(observations), action_streams, is_greedy, actions, log_probs)

    return act_on_outputs


class _HeldNoise:
    """State-dependent exploration: noise is drawn in the first step and again after every ``interval`` steps."""

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
