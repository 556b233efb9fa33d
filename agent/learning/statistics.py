"""Running statistics for the normalization of observations and rewards."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..config import PPOConfig
from ..errors import DivergenceError
from ..kernels.normalizing import LEAST_DEVIATION, LIMIT, Moments, discounted_returns, normalized_rows
from ..kernels.rollout import Rollout

Array = npt.NDArray[np.float32]


class RunningStatistics:
    """Moments of observations and of discounted returns, if the configuration normalizes them.

    The rewards of a rollout are included before the update, so that even the first rewards have a scale. Its
    observations are included after the update, so that collection and update use the same statistics.

    Attributes:
        observations: Moments of the observations; None if they are not normalized.
        returns: Moments of the discounted sums of rewards; None if rewards are not scaled.
    """

    def __init__(self, config: PPOConfig, observation_size: int) -> None:
        """Start with empty statistics.

        Args:
            config: Provides what to normalize, the discount factor and the number of environments.
            observation_size: Number of entries of an observation.
        """
        self.observations = Moments.of_nothing(observation_size) if config.normalize_observations else None
        self.returns = Moments.of_nothing(1) if config.normalize_rewards else None
        self._gamma = config.gamma
        self._running = np.zeros(config.num_envs)

    @property
    def normalization(self) -> tuple[Array, Array] | None:
        """Means and standard deviations of observations, each of shape (D,), float32; None without normalization."""
        if self.observations is None:
            return None
        return self.observations.means.astype(np.float32), self.observations.deviations

    @property
    def reward_deviation(self) -> float:
        """The standard deviation by which rewards are divided; 1 if they are not scaled."""
        if self.returns is None:
            return 1.0
        return float(max(self.returns.deviations[0], LEAST_DEVIATION))

    def normalized(self, rows: Array) -> Array:
        """Return normalized observations, shape (B, D), or the same array if observations are not normalized."""
        normalization = self.normalization
        return rows if normalization is None else normalized_rows(rows, *normalization)

    def scaled(self, rewards: Array) -> Array:
        """Return scaled rewards of the same shape, or the same array if rewards are not scaled."""
        if self.returns is None:
            return rewards
        scaled = rewards.astype(np.float64) / self.reward_deviation
        return np.clip(scaled, -LIMIT, LIMIT).astype(np.float32)

    def include_rewards(self, rollout: Rollout) -> None:
        """Include the rewards of a rollout, before the update.

        Raises:
            DivergenceError: If the statistics become infinite or NaN.
        """
        if self.returns is not None:
            ended = rollout.terminated | rollout.truncated
            sums = discounted_returns(rollout.rewards, ended, self._gamma, self._running)
            self.returns = self.returns.including(sums.reshape(-1, 1), rollout.valid.reshape(-1))
            _assert_finite("discounted returns", self.returns)

    def include_observations(self, rollout: Rollout) -> None:
        """Include the observations of a rollout, after the update.

        Raises:
            DivergenceError: If the statistics become infinite or NaN.
        """
        if self.observations is not None:
            rows = rollout.observations.reshape(-1, rollout.observations.shape[-1])
            self.observations = self.observations.including(rows, rollout.valid.reshape(-1))
            _assert_finite("observations", self.observations)

    def begin_new_episodes(self) -> None:
        """Reset the discounted sums of rewards to 0."""
        self._running[:] = 0.0

    def get_state(self) -> dict[str, npt.NDArray[Any]]:
        """Return copies of everything that changes, for ``set_state``; empty if nothing is normalized."""
        state = {
            f"{name}/{field}": np.array(array)
            for name, moments in (("observations", self.observations), ("returns", self.returns))
            if moments is not None
            for field, array in moments._asdict().items()
        }
        return state if self.returns is None else {**state, "returns/running": self._running.copy()}

    def set_state(self, state: dict[str, npt.NDArray[Any]]) -> None:
        """Restore what ``get_state`` returned."""

        def restored(name: str) -> Moments:
            return Moments(*(np.array(state[f"{name}/{field}"]) for field in Moments._fields))

        if self.observations is not None:
            self.observations = restored("observations")
        if self.returns is not None:
            self.returns = restored("returns")
            self._running = state["returns/running"].copy()


def _assert_finite(what: str, moments: Moments) -> None:
    for name, array in {**moments._asdict(), "variances": moments.variances}.items():
        if not np.isfinite(array).all():
            entry = int(np.flatnonzero(~np.isfinite(np.atleast_1d(array)))[0])
            raise DivergenceError(
                f"The training has diverged: the statistics of {what} are infinite or not a number ({name}, entry "
                f"{entry})."
            )
