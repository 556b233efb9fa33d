"""The best policy of a run."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..callbacks import Callback
from ..metrics import EpochMetrics
from .directory import Due, RunDirectory

if TYPE_CHECKING:
    from ..ppo import PPO
    from ..rollouts.budget import Allowance
    from ..rollouts.evaluation import EvaluationResult


class BestPolicy(Callback):
    """Validates the policy every so many steps and at the end, and keeps the one with the highest mean return.

    Beside CartPole, whose evaluations cost next to nothing, a validation waits until it is allowed
    (``PPO.evaluation_allowance``), and is one of fewer episodes. Of several policies with the same mean return the
    first is kept. A resumed run compares with what was kept before. What is reported of the policy that is kept are
    other episodes than those it was chosen by.
    """

    def __init__(self, run: RunDirectory, every: int) -> None:
        """Look what is kept already.

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

    def on_train_begin(self, ppo: PPO) -> None:
        """Note where the training stands."""
        self._due.begin(ppo.env_steps)

    def on_epoch_end(self, ppo: PPO, metrics: EpochMetrics) -> None:
        """Validate, if it is time and allowed."""
        if self._due.at(metrics.env_steps) and self._validate(ppo, ppo.evaluation_allowance(parts=2)):
            self._due.done(metrics.env_steps)

    def on_train_end(self, ppo: PPO) -> None:
        """Validate the last policy, if it is allowed."""
        if ppo.epoch > self._validated_epoch:
            self._validate(ppo, ppo.evaluation_allowance(parts=2))

    def keep_if_there_is_none(self, ppo: PPO, evaluation: EvaluationResult) -> None:
        """Keep the last policy where no validation has been allowed: there was none to choose from."""
        if self._highest == -math.inf:
            self._keep(ppo, evaluation, evaluation)

    def _validate(self, ppo: PPO, allowance: Allowance | None) -> bool:
        """Return whether the policy could be compared with the best one; keep it if it is better."""
        validation = None if allowance is None else ppo.allowed_validation(allowance)
        if allowance is None or validation is None:
            return False
        self._validated_epoch = ppo.epoch
        if validation.mean > self._highest:
            evaluation = ppo.allowed_evaluation(allowance)
            if evaluation is None:
                return False
            self._keep(ppo, validation, evaluation)
        return True

    def _keep(self, ppo: PPO, validation: EvaluationResult, evaluation: EvaluationResult) -> None:
        self._highest = validation.mean
        self._run.write_best(ppo.actor, validation.mean, {"epoch": ppo.epoch, **evaluation.as_dict()})
