"""The best policy of a run."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..callbacks import Callback
from ..metrics import EpochMetrics
from .directory import Due, RunDirectory

if TYPE_CHECKING:
    from ..ppo import PPO
    from ..rollouts.evaluation import EvaluationResult


class BestPolicy(Callback):
    """Validates the policy every so many steps and at the end, and keeps the one with the highest mean return.

    Beside CartPole, whose evaluations cost next to nothing, a validation waits until it is allowed
    (``PPO.validate_within_budget``), and is one of fewer episodes. Of several policies with the same mean return the
    first is kept. A resumed run compares with what was kept before. What is reported of the policy that is kept are
    other episodes than those it was chosen by.
    """

    def __init__(self, run: RunDirectory, every: int) -> None:
        """Look up what has been kept.

        Args:
            run: Where the best actor and its evaluation go.
            every: Environment steps from one validation to the next, at least 1.

        Raises:
            OSError: If what is kept cannot be read.
            ValueError: If it is damaged.
        """
        self._run = run
        self._due = Due(every)
        self._highest = run.read_best_mean()
        self._validated_epoch = 0
        # The kept policy, where nothing could be reported of it yet.
        self._unreported: tuple[int, float] | None = None

    def on_train_begin(self, ppo: PPO) -> None:
        """Note where the training stands."""
        self._due.begin(ppo.env_steps)

    def on_epoch_end(self, ppo: PPO, metrics: EpochMetrics) -> None:
        """Validate, if it is time and allowed."""
        if self._due.at(metrics.env_steps) and self._validate(ppo):
            self._due.done(metrics.env_steps)

    def on_train_end(self, ppo: PPO) -> None:
        """Validate the last policy, if it is allowed."""
        if ppo.epoch > self._validated_epoch:
            self._validate(ppo)

    def complete(self, ppo: PPO, evaluation: EvaluationResult) -> None:
        """Report an evaluation of the last policy, if that is what is kept, or all there is to keep.

        Args:
            ppo: The agent.
            evaluation: Other episodes than those of a validation.
        """
        if self._highest == -math.inf:
            self._highest = evaluation.mean
            self._unreported = (ppo.epoch, evaluation.mean)
        if self._unreported is not None and self._unreported[0] == ppo.epoch:
            self._write(ppo, self._unreported[1], evaluation)

    def _validate(self, ppo: PPO) -> bool:
        """Return whether the policy could be compared with the best one; keep it if it is better."""
        validation = ppo.validate_within_budget()
        if validation is None:
            return False
        self._validated_epoch = ppo.epoch
        if validation.mean > self._highest:
            self._highest = validation.mean
            self._unreported = (ppo.epoch, validation.mean)
            self._write(ppo, validation.mean, ppo.evaluate_within_budget())
        return True

    def _write(self, ppo: PPO, validation_mean: float, evaluation: EvaluationResult | None) -> None:
        figures = {} if evaluation is None else evaluation.as_dict()
        self._run.write_best(ppo.actor, validation_mean, {"epoch": ppo.epoch, **figures})
        if evaluation is not None:
            self._unreported = None
