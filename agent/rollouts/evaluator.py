"""Evaluations during training, within a budget of environment steps."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..environments.spec import EnvironmentSpec
from ..kernels.acting import PolicySnapshot
from ..kernels.rollout import Rollout
from .budget import LONGEST_EPISODE, Allowance, EvaluationBudget
from .collector import Collector, Episodes
from .evaluation import EvaluationResult

_EPISODES = 100
# Number of episodes that confirm that the target return is reached, if episodes cost next to nothing.
_CONFIRMING_EPISODES = 64
# Confidence of this test, in standard deviations of the difference between the mean returns of these episodes and of an
# evaluation. Three would suffice for normally distributed returns, but rare falls are underrepresented in 64 episodes.
_CONFIDENCE = 4.0
# The test is run only if the sampling policy reaches this share of the target return between terminations.
_PROMISING = 0.5


class Progress(NamedTuple):
    """The progress of a training.

    Attributes:
        env_steps: Number of environment steps so far.
        recent_lengths: Lengths of the last episodes.
    """

    env_steps: int
    recent_lengths: Collection[int]


class Evaluator:
    """Plays episodes with the greedy policy, to evaluate it, to choose the best policy, or to end the training.

    Attributes:
        solving: Budget for finding out whether the target return is reached.
        choosing: Budget for choosing the best policy.
    """

    def __init__(
        self,
        collector: Collector,
        spec: EnvironmentSpec,
        evaluation: np.random.SeedSequence,
        validation: np.random.SeedSequence,
    ) -> None:
        """Create an evaluator with unused budgets.

        Args:
            collector: Collector that plays the episodes.
            spec: Properties of its environments.
            evaluation: Seed of the episodes of evaluations.
            validation: Seed of the episodes of validations.
        """
        self._collector = collector
        self._limit = spec.max_episode_steps
        self._seeds = {"evaluation": evaluation, "validation": validation}
        self.solving, self.choosing = EvaluationBudget(), EvaluationBudget()

    @property
    def is_free(self) -> bool:
        """Whether episodes cost next to nothing, as in CartPole's kernel, so that 100 are always allowed."""
        return self._collector.evaluation_batch is None

    def get_state(self) -> npt.NDArray[np.int64]:
        """Return the used steps of both budgets for ``set_state``, shape (2,), int64."""
        return np.array([self.solving.used, self.choosing.used])

    def set_state(self, state: npt.NDArray[np.int64]) -> None:
        """Restore the result of ``get_state``."""
        self.solving.used, self.choosing.used = state.tolist()

    def play(self, policy: PolicySnapshot, kind: str) -> EvaluationResult:
        """Play 100 episodes, always with the same seeds.

        Args:
            policy: The policy.
            kind: ``"evaluation"`` or ``"validation"``.
        """
        allowance = Allowance(_EPISODES, self._limit or LONGEST_EPISODE)
        return _result(self._collector.play_episodes(policy, self._seeds[kind], *allowance))

    def is_promising(self, rollout: Rollout, target: float) -> bool:
        """Return whether the greedy policy may reach a target, judging by the last rollout of the sampling policy.

        Args:
            rollout: Rollout of the last epoch.
            target: Mean return to reach.
        """
        return float(rollout.rewards.sum()) >= _PROMISING * target * max(1, int(rollout.terminated.sum()))

    def confirms(self, policy: PolicySnapshot, target: float, epoch: int) -> bool:
        """Return whether the greedy policy reaches a target, if episodes cost next to nothing.

        The episodes are used for nothing else, and differ from epoch to epoch. Their mean return must exceed the target
        by so much that fewer than one evaluation in a thousand would miss it. Playing stops early if the target is out
        of reach.

        Args:
            policy: The policy.
            target: Mean return to reach.
            epoch: Number of the epoch that has ended.
        """
        parent = self._seeds["validation"]
        seed = np.random.SeedSequence(parent.entropy, spawn_key=(*parent.spawn_key, epoch))
        limit = self._limit or LONGEST_EPISODE
        returns = self._collector.play_episodes(policy, seed, _CONFIRMING_EPISODES, limit, least_mean=target).returns
        standard_deviation = returns.std() * np.sqrt(1.0 / _CONFIRMING_EPISODES + 1.0 / _EPISODES)
        return bool(returns.mean() - _CONFIDENCE * standard_deviation >= target)

    def play_within(
        self, budget: EvaluationBudget, policy: PolicySnapshot, kind: str, progress: Progress, *, parts: int = 1
    ) -> EvaluationResult | None:
        """Play as many of the episodes of ``play`` as a budget allows.

        Args:
            budget: ``solving`` or ``choosing``.
            policy: The policy.
            kind: ``"evaluation"`` or ``"validation"``.
            progress: Progress of the training.
            parts: Number of evaluations that share the rest of the budget.

        Returns:
            The result; None if the budget allows no episodes, or if an episode was longer than it allows.
        """
        batch = self._collector.evaluation_batch
        assert batch is not None
        allowance = budget.allowance(
            progress.env_steps,
            batch,
            self._limit,
            progress.recent_lengths,
            parts=parts,
            ignored=int(self._collector.ignores_actions),
        )
        if allowance is None:
            return None
        episodes = self._collector.play_episodes(policy, self._seeds[kind], *allowance)
        budget.used += episodes.env_steps
        # Episodes without a time limit that were cut off at LONGEST_EPISODE count as they are.
        is_short = allowance.max_episode_steps < (self._limit or LONGEST_EPISODE)
        return None if is_short and episodes.cut_off.any() else _result(episodes)


def _result(episodes: Episodes) -> EvaluationResult:
    return EvaluationResult(tuple(episodes.returns.tolist()), tuple(episodes.lengths.tolist()))
