"""Evaluations during a training: which episodes they play, and how many of them it can afford."""

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
# Where episodes cost next to nothing: those that tell whether the target is reached.
_CONFIRMING_EPISODES = 64
# How sure that is: standard deviations of the difference between their mean return and that of an evaluation. Three
# would do for normal returns; but a policy that falls in a few episodes only shows too little of that in 64.
_CONFIDENCE = 4.0
# It is worth asking where the actions that are sampled earn this share of the target from one fall to the next.
_PROMISING = 0.5


class Progress(NamedTuple):
    """Where a training stands.

    Attributes:
        env_steps: Its steps so far.
        recent_lengths: Lengths of its last episodes.
    """

    env_steps: int
    recent_lengths: Collection[int]


class Evaluator:
    """Plays greedy episodes with a policy: some to evaluate it, others to choose it or to end the training.

    Attributes:
        solving: What has been spent to find out whether the target return is reached.
        choosing: What has been spent to choose the best policy.
    """

    def __init__(
        self,
        collector: Collector,
        spec: EnvironmentSpec,
        evaluation: np.random.SeedSequence,
        validation: np.random.SeedSequence,
    ) -> None:
        """Nothing has been played.

        Args:
            collector: Plays the episodes.
            spec: Of its environments.
            evaluation: Seed of the episodes of evaluations.
            validation: Seed of those of validations.
        """
        self._collector = collector
        self._limit = spec.max_episode_steps
        self._seeds = {"evaluation": evaluation, "validation": validation}
        self.solving, self.choosing = EvaluationBudget(), EvaluationBudget()

    @property
    def is_free(self) -> bool:
        """Whether episodes cost next to nothing, as those of CartPole's kernel: then 100 are always allowed."""
        return self._collector.evaluation_batch is None

    def get_state(self) -> npt.NDArray[np.int64]:
        """Return the steps that have been spent, shape (2,), int64, to be set again by ``set_state``."""
        return np.array([self.solving.used, self.choosing.used])

    def set_state(self, state: npt.NDArray[np.int64]) -> None:
        """Go on with what ``get_state`` returned."""
        self.solving.used, self.choosing.used = state.tolist()

    def play(self, policy: PolicySnapshot, kind: str) -> EvaluationResult:
        """Play 100 episodes, the same every time.

        Args:
            policy: The policy.
            kind: ``"evaluation"`` or ``"validation"``.
        """
        allowance = Allowance(_EPISODES, self._limit or LONGEST_EPISODE)
        return _result(self._collector.play_episodes(policy, self._seeds[kind], *allowance))

    def is_promising(self, rollout: Rollout, target: float) -> bool:
        """Return whether the greedy policy may reach a target, by what the sampled one has just done.

        Args:
            rollout: T steps of N environments, of the last epoch.
            target: Mean return to reach.
        """
        return float(rollout.rewards.sum()) >= _PROMISING * target * max(1, int(rollout.terminated.sum()))

    def confirms(self, policy: PolicySnapshot, target: float, epoch: int) -> bool:
        """Return whether the greedy policy reaches a target, where its episodes cost next to nothing.

        They are used for nothing else, and each epoch has its own. Their mean return must exceed the target so far that
        fewer than one evaluation in a thousand would miss it. An attempt that cannot reach the target any more is cut
        short.

        Args:
            policy: The policy.
            target: Mean return to reach.
            epoch: After which this is.
        """
        ours = self._seeds["validation"]
        seed = np.random.SeedSequence(ours.entropy, spawn_key=(*ours.spawn_key, epoch))
        limit = self._limit or LONGEST_EPISODE
        returns = self._collector.play_episodes(policy, seed, _CONFIRMING_EPISODES, limit, least_mean=target).returns
        standard_deviation = returns.std() * np.sqrt(1.0 / _CONFIRMING_EPISODES + 1.0 / _EPISODES)
        return bool(returns.mean() - _CONFIDENCE * standard_deviation >= target)

    def play_within(
        self, budget: EvaluationBudget, policy: PolicySnapshot, kind: str, progress: Progress, *, parts: int = 1
    ) -> EvaluationResult | None:
        """Play as many of these episodes as a budget allows.

        Args:
            budget: One of the two.
            policy: The policy.
            kind: ``"evaluation"`` or ``"validation"``.
            progress: Of the training.
            parts: Evaluations that are to be paid from what is left.

        Returns:
            The result; None where there are none to be played, or one was longer than allowed.
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
        # What an evaluation without a limit cuts off after very many steps counts as it is.
        is_short = allowance.max_episode_steps < (self._limit or LONGEST_EPISODE)
        return None if is_short and episodes.cut_off.any() else _result(episodes)


def _result(episodes: Episodes) -> EvaluationResult:
    return EvaluationResult(tuple(episodes.returns.tolist()), tuple(episodes.lengths.tolist()))
