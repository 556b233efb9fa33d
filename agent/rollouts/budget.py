"""Budget of environment steps for evaluations during training, counted in steps so that results are reproducible."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

SHARE = 0.025
"""Share of the training's steps that evaluations may use to find out whether the target return is reached, and again
to choose the best policy. Evaluations on CartPole's kernel are not limited."""

EVALUATION_ENVS = 10
"""Maximum number of environments created for an evaluation, except for CartPole."""

LONGEST_EPISODE = 10_000
"""Number of steps after which an evaluation cuts off an episode if the environment has no time limit."""

_MAX_EPISODES = 100
# Policies change: leave room for episodes twice as long as the longest recent one.
_MARGIN = 2


class Allowance(NamedTuple):
    """Limits of one evaluation.

    Attributes:
        episodes: Number of episodes.
        max_episode_steps: Number of steps after which each episode is cut off.
    """

    episodes: int
    max_episode_steps: int


class EvaluationBudget:
    """Limits the steps of evaluations in proportion to those of the training.

    Attributes:
        used: Number of steps that evaluations have taken so far.
    """

    def __init__(self) -> None:
        """Create a budget of which nothing has been used."""
        self.used = 0

    def allowance(
        self,
        env_steps: int,
        batch: int,
        episode_limit: int | None,
        recent_lengths: Collection[int],
        *,
        parts: int = 1,
        ignored: int = 0,
    ) -> Allowance | None:
        """Return the limits of an evaluation now, or None if it has to wait.

        Args:
            env_steps: Number of steps of the training so far.
            batch: Number of evaluation environments; each plays the same number of episodes.
            episode_limit: Number of steps after which the environment truncates episodes; None for no limit.
            recent_lengths: Lengths of the last episodes of the training.
            parts: Number of evaluations that share the rest of the budget.
            ignored: Number of steps between two episodes in which an environment ignores the action: 1 with next-step
                autoreset, otherwise 0.
        """
        left = int(SHARE * env_steps - self.used) // parts
        longest = episode_limit or LONGEST_EPISODE
        if recent_lengths:
            longest = min(longest, _MARGIN * max(recent_lengths))
        rounds = min(left // (batch * (longest + ignored)), max(1, _MAX_EPISODES // batch))
        if rounds < 1:
            return None
        return Allowance(rounds * batch, min(episode_limit or LONGEST_EPISODE, left // (rounds * batch) - ignored))
