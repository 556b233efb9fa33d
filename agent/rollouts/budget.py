"""How many steps evaluations may take while an agent is trained: counted, so that a seed fixes everything."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

SHARE = 0.025
"""Of the training's steps so far, beside CartPole: for finding out whether the target is reached, and as much again for
choosing the best policy."""

EVALUATION_ENVS = 10
"""How many environments play an evaluation beside CartPole, where they are made here."""

LONGEST_EPISODE = 10_000
"""Steps after which an evaluation cuts off an episode where the environment has no limit of its own."""

_MOST_EPISODES = 100
# A policy does better or worse than it did lately: room for episodes of twice the greatest length.
_MARGIN = 2


class Allowance(NamedTuple):
    """What one evaluation may take.

    Attributes:
        episodes: Its number of episodes.
        max_episode_steps: Length at which each is cut off.
    """

    episodes: int
    max_episode_steps: int


class EvaluationBudget:
    """Counts the steps of evaluations against those of the training.

    Attributes:
        used: Steps of evaluations so far.
    """

    def __init__(self) -> None:
        """Nothing has been used."""
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
        """Return what an evaluation may take now; None where it has to wait.

        Args:
            env_steps: Steps of the training so far.
            batch: How many environments play; each plays as many episodes.
            episode_limit: Length at which the environment truncates episodes; None for no limit.
            recent_lengths: Of the training's last episodes.
            parts: Evaluations to be paid from it.
            ignored: Steps between two episodes of an environment whose actions are ignored: 1 with an autoreset in the
                next step, else 0.
        """
        left = int(SHARE * env_steps - self.used) // parts
        longest = episode_limit or LONGEST_EPISODE
        if recent_lengths:
            longest = min(longest, _MARGIN * max(recent_lengths))
        rounds = min(left // (batch * (longest + ignored)), max(1, _MOST_EPISODES // batch))
        if rounds < 1:
            return None
        return Allowance(rounds * batch, min(episode_limit or LONGEST_EPISODE, left // (rounds * batch) - ignored))
