"""What the training loop asks of whoever plays."""

from __future__ import annotations

import math
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from ..kernels.acting import PolicySnapshot
from ..kernels.rollout import Rollout


class Episodes(NamedTuple):
    """E episodes of an evaluation.

    Attributes:
        returns: Their undiscounted returns, shape (E,), float64.
        lengths: Their lengths in steps, shape (E,), int64.
        cut_off: Whether they were ended by the evaluation and not by the environment, shape (E,), bool.
        env_steps: Steps that all environments have taken, those that had played their share meanwhile included.
    """

    returns: npt.NDArray[np.float64]
    lengths: npt.NDArray[np.int64]
    cut_off: npt.NDArray[np.bool_]
    env_steps: int


class Collector(Protocol):
    """Plays rollouts in N training environments, and evaluations in others."""

    @property
    def is_exact(self) -> bool:
        """Whether its state is the whole truth, so that what goes on from it goes on bit for bit."""

    @property
    def ignores_actions(self) -> bool:
        """Whether its rollouts may hold steps that are not valid."""

    @property
    def evaluation_batch(self) -> int | None:
        """How many environments play evaluations, so that their episodes are a multiple; None where they cost nothing.

        Steps of those that cost something are counted, and limited (``agent.rollouts.budget``).
        """

    @property
    def num_threads(self) -> int:
        """Threads that the networks' forward passes in Numba may use."""

    @property
    def running_returns(self) -> npt.NDArray[np.float64]:
        """Rewards so far of the episodes that have not ended, shape (N,), float64."""

    @property
    def running_lengths(self) -> npt.NDArray[np.int64]:
        """Their steps so far, shape (N,), int64; 0 where a new one is about to begin."""

    def reset(self, seed: np.random.SeedSequence | None = None) -> None:
        """Start a new episode in every training environment; their streams begin anew where a seed is given."""

    def collect(self, policy: PolicySnapshot) -> Rollout:
        """Play one rollout with the given policy, from where the environments are, in fresh arrays."""

    def play_episodes(
        self,
        policy: PolicySnapshot,
        seed: np.random.SeedSequence,
        episodes: int,
        max_episode_steps: int,
        least_mean: float = -math.inf,
    ) -> Episodes:
        """Play whole episodes with the greedy policy, in environments of their own.

        Args:
            policy: The policy.
            seed: Fixes the episodes.
            episodes: How many.
            max_episode_steps: Length at which they are cut off, if the environments have not ended them.
            least_mean: Mean return that is asked for. Where it is known that they cannot reach it any more, they need
                not be played to their end: the figures of those that have not ended are the most they could be.
        """

    def get_state(self) -> dict[str, npt.NDArray[Any]]:
        """Return copies of all that changes and can be kept."""

    def set_state(self, state: dict[str, npt.NDArray[Any]]) -> None:
        """Go on from what ``get_state`` returned, here or in a collector of as many environments."""

    def close(self) -> None:
        """Close the environments that were made here."""


def one_seed_each(seed: np.random.SeedSequence, count: int) -> npt.NDArray[np.uint64]:
    """Return a 64-bit seed for each of so many environments, shape (count,)."""
    return seed.generate_state(count, np.uint64).astype(np.uint64)


def as_integer(seed: np.random.SeedSequence) -> int:
    """Return a seed for a library that takes small integers only."""
    return int(seed.generate_state(1, np.uint32)[0]) >> 1
