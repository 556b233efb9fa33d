"""The interface between the training loop and the environments."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from ..kernels.acting import PolicySnapshot
from ..kernels.rollout import Rollout


class Episodes(NamedTuple):
    """E episodes of an evaluation.

    Attributes:
        returns: Undiscounted returns of the episodes, shape (E,), float64.
        lengths: Lengths of the episodes in steps, shape (E,), int64.
        cut_off: Whether an episode was ended by the evaluation instead of the environment, shape (E,), bool.
        env_steps: Number of steps of all environments, including those that had already played their share.
    """

    returns: npt.NDArray[np.float64]
    lengths: npt.NDArray[np.int64]
    cut_off: npt.NDArray[np.bool_]
    env_steps: int


class Collector(Protocol):
    """Plays rollouts in N training environments, and evaluations in separate environments."""

    @property
    def is_exact(self) -> bool:
        """Whether ``get_state`` is complete, so that a training resumed from it continues bit for bit."""

    @property
    def is_interrupted(self) -> bool:
        """Whether an error has left the training environments without running episodes: ``reset`` must start some."""

    @property
    def ignores_actions(self) -> bool:
        """Whether rollouts may contain invalid steps, in which environments ignore the action."""

    @property
    def evaluation_batch(self) -> int | None:
        """Number of evaluation environments, of which the number of episodes is a multiple; None if episodes are free.

        If they are not, the steps of evaluations are counted and limited (``agent.rollouts.budget``).
        """

    @property
    def num_threads(self) -> int:
        """Number of threads that the networks' forward passes in Numba may use."""

    @property
    def running_returns(self) -> npt.NDArray[np.float64]:
        """Returns so far of the running episodes, shape (N,), float64."""

    @property
    def running_lengths(self) -> npt.NDArray[np.int64]:
        """Lengths so far of the running episodes, shape (N,), int64; 0 if an episode is about to begin."""

    def reset(self, seed: np.random.SeedSequence | None = None) -> None:
        """Start a new episode in every training environment; a seed also restarts their random streams."""

    def collect(self, policy: PolicySnapshot) -> Rollout:
        """Play one rollout with the given policy from the current states, in new arrays."""

    def play_episodes(
        self,
        policy: PolicySnapshot,
        seed: np.random.SeedSequence | int,
        episodes: int,
        max_episode_steps: int,
        least_mean: float = -math.inf,
        on_episodes: Callable[[int], object] = lambda _: None,
    ) -> Episodes:
        """Play whole episodes with the greedy policy, in separate environments.

        Args:
            policy: The policy.
            seed: Seed of the episodes.
            episodes: Number of episodes.
            max_episode_steps: Number of steps after which episodes are cut off.
            least_mean: Required mean return. If it is known to be out of reach, episodes need not be finished; the
                results of unfinished episodes are then upper bounds.
            on_episodes: Called with the number of episodes so far whenever one has ended, if playing takes long.
        """

    def get_state(self) -> dict[str, npt.NDArray[Any]]:
        """Return copies of all mutable state that can be saved."""

    def set_state(self, state: dict[str, npt.NDArray[Any]]) -> None:
        """Resume from the result of ``get_state`` of a collector with as many environments."""

    def close(self) -> None:
        """Close the environments that the collector created."""


def one_seed_each(seed: np.random.SeedSequence | int, count: int) -> npt.NDArray[np.uint64]:
    """Return ``count`` 64-bit seeds, one per environment, shape (count,), uint64; from an integer, consecutive ones."""
    if isinstance(seed, int):
        return np.arange(seed, seed + count, dtype=np.uint64)
    return seed.generate_state(count, np.uint64).astype(np.uint64)


def as_integer(seed: np.random.SeedSequence) -> int:
    """Return a seed for a library that accepts small integers only."""
    return int(seed.generate_state(1, np.uint32)[0]) >> 1
