"""Budget of environment steps for evaluations during training, counted in steps so that results are reproducible."""

from __future__ import annotations

from collections.abc import Collection

SHARE = 0.05
"""Share of the training's steps that evaluations may use to find out whether the target return is reached. Evaluations
on CartPole's kernel are not limited."""

EVALUATION_ENVS = 10
"""Maximum number of environments created for an evaluation, except for CartPole."""

LONGEST_EPISODE = 10_000
"""Number of steps after which an evaluation cuts off an episode if the environment has no time limit."""

_MAX_EPISODES = 100
# Policies change: leave room for episodes twice as long as the longest recent one.
_MARGIN = 2


class EvaluationBudget:
    """Limits the steps of evaluations in proportion to those of the training.

    Attributes:
        used: Number of steps that evaluations have taken so far.
    """

    def __init__(self) -> None:
        """Create a budget of which nothing has been used."""
        self.used = 0

    def episodes(
        self, env_steps: int, batch: int, episode_limit: int | None, recent_lengths: Collection[int], ignored: int = 0
    ) -> int:
        """Return the number of episodes that an evaluation may have now; 0 if it has to wait.

        Episodes are expected to be at most twice as long as the longest recent one. Those that are longer are played to
        their end all the same, and the next evaluation waits longer.

        Args:
            env_steps: Number of steps of the training so far.
            batch: Number of evaluation environments; each plays the same number of episodes.
            episode_limit: Number of steps after which the environment truncates episodes; None for no limit.
            recent_lengths: Lengths of the last episodes of the training.
            ignored: Number of steps between two episodes in which an environment ignores the action: 1 with next-step
                autoreset, otherwise 0.
        """
        longest = episode_limit or LONGEST_EPISODE
        if recent_lengths:
            longest = min(longest, _MARGIN * max(recent_lengths))
        rounds = int(SHARE * env_steps - self.used) // (batch * (longest + ignored))
        return batch * max(0, min(rounds, max(1, _MAX_EPISODES // batch)))
