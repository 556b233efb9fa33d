"""Evaluations during training, within a budget of environment steps."""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np

from ..environments.spec import EnvironmentSpec
from ..kernels.acting import PolicySnapshot
from ..kernels.rollout import Rollout
from .budget import LONGEST_EPISODE, EvaluationBudget
from .collector import Collector, as_integer
from .evaluation import EvaluationResult

OnEpisodes = Callable[[int], object]

_EPISODES = 100
# Number of episodes that confirm that the target return is reached, if episodes cost next to nothing.
_CONFIRMING_EPISODES = 64
# Confidence of this test, in standard deviations of the difference between the mean returns of these episodes and of an
# evaluation. Three would suffice for normally distributed returns, but rare falls are underrepresented in 64 episodes.
_CONFIDENCE = 4.0
# The test is run only if the sampling policy reaches this share of the target return between terminations.
_PROMISING = 0.5


class Evaluator:
    """Plays episodes with the greedy policy, to evaluate it, to choose the best policy, or to end the training.

    Attributes:
        budget: Budget for finding out whether the target return is reached.
    """

    def __init__(
        self,
        collector: Collector,
        spec: EnvironmentSpec,
        evaluation: np.random.SeedSequence,
        validation: np.random.SeedSequence,
    ) -> None:
        """Create an evaluator with an unused budget.

        Args:
            collector: Collector that plays the episodes.
            spec: Properties of its environments.
            evaluation: Seed of the episodes of evaluations.
            validation: Seed of the episodes of validations.
        """
        self._collector = collector
        self._limit = spec.max_episode_steps or LONGEST_EPISODE
        self._evaluation, self._validation = evaluation, validation
        self.budget = EvaluationBudget()

    @property
    def is_free(self) -> bool:
        """Whether episodes cost next to nothing, as in CartPole's kernel."""
        return self._collector.evaluation_batch is None

    def evaluate(self, policy: PolicySnapshot, episodes: int, on_episodes: OnEpisodes) -> EvaluationResult:
        """Play episodes that serve no other purpose, always the same ones.

        Except on CartPole, 10 or more are those of ``fastppo.evaluate`` with the seed ``PPO.evaluation_seed``.
        """
        seed = self._evaluation if self.is_free else as_integer(self._evaluation)
        return self._play(policy, seed, episodes, on_episodes)

    def validate(self, policy: PolicySnapshot, episodes: int, on_episodes: OnEpisodes) -> EvaluationResult:
        """Play episodes that choose among policies, always the same ones."""
        return self._play(policy, self._validation, episodes, on_episodes)

    def _play(
        self, policy: PolicySnapshot, seed: np.random.SeedSequence | int, episodes: int, on_episodes: OnEpisodes
    ) -> EvaluationResult:
        played = self._collector.play_episodes(policy, seed, episodes, self._limit, on_episodes=on_episodes)
        return EvaluationResult(tuple(played.returns.tolist()), tuple(played.lengths.tolist()))

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
        seed = self._seed_of(epoch)
        episodes = self._collector.play_episodes(policy, seed, _CONFIRMING_EPISODES, self._limit, least_mean=target)
        returns = episodes.returns
        standard_deviation = returns.std() * np.sqrt(1.0 / _CONFIRMING_EPISODES + 1.0 / _EPISODES)
        return bool(returns.mean() - _CONFIDENCE * standard_deviation >= target)

    def reaches_within_budget(
        self, policy: PolicySnapshot, target: float, epoch: int, env_steps: int, recent_lengths: Collection[int]
    ) -> bool:
        """Return whether the greedy policy reaches a target, if the budget allows episodes to find out.

        Args:
            policy: The policy.
            target: Mean return to reach.
            epoch: Number of the epoch that has ended.
            env_steps: Number of steps of the training so far.
            recent_lengths: Lengths of its last episodes.
        """
        batch = self._collector.evaluation_batch
        assert batch is not None
        ignored = int(self._collector.ignores_actions)
        episodes = self.budget.episodes(env_steps, batch, self._limit, recent_lengths, ignored)
        if not episodes:
            return False
        played = self._collector.play_episodes(policy, self._seed_of(epoch), episodes, self._limit)
        self.budget.used += played.env_steps
        return bool(played.returns.mean() >= target)

    def _seed_of(self, epoch: int) -> np.random.SeedSequence:
        """Return the seed of the episodes with which the policy after an epoch is tested."""
        parent = self._validation
        return np.random.SeedSequence(parent.entropy, spawn_key=(*parent.spawn_key, epoch))
