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
    """Validates the policy at regular intervals and at the end, and saves the one with the highest mean return.

    Except on CartPole, where evaluations cost next to nothing, a validation waits until the budget allows it, and may
    have fewer episodes (see ``PPO.validate_within_budget``). If mean returns are equal, the first policy is kept. A
    resumed run compares with the policy saved before. The saved policy is evaluated on other episodes than those that
    selected it.
    """

    def __init__(self, run: RunDirectory, every: int) -> None:
        """Read the mean return of the best policy so far.

        Args:
            run: Run directory for the best actor and its evaluation.
            every: Environment steps between validations, at least 1.

        Raises:
            OSError: If the saved evaluation cannot be read.
            ValueError: If the saved evaluation is damaged.
        """
        self._run = run
        self._due = Due(every)
        self._highest = run.read_best_mean()
        self._validated_epoch = 0
        # Epoch and validation mean of the best policy, while its evaluation is still missing.
        self._unreported: tuple[int, float] | None = None

    def on_train_begin(self, ppo: PPO) -> None:
        """Store the number of steps at which training starts."""
        self._due.begin(ppo.env_steps)

    def on_epoch_end(self, ppo: PPO, metrics: EpochMetrics) -> None:
        """Validate if a validation is due and the budget allows it."""
        if self._due.at(metrics.env_steps) and self._validate(ppo):
            self._due.done(metrics.env_steps)

    def on_train_end(self, ppo: PPO) -> None:
        """Validate the last policy if the budget allows it."""
        if ppo.epoch > self._validated_epoch:
            self._validate(ppo)

    def complete(self, ppo: PPO, evaluation: EvaluationResult) -> None:
        """Save the evaluation of the last policy, if that is the best one or the only one.

        Args:
            ppo: The agent.
            evaluation: Evaluation on other episodes than those of validations.
        """
        if self._highest == -math.inf:
            self._highest = evaluation.mean
            self._unreported = (ppo.epoch, evaluation.mean)
        if self._unreported is not None and self._unreported[0] == ppo.epoch:
            self._write(ppo, self._unreported[1], evaluation)

    def _validate(self, ppo: PPO) -> bool:
        """Validate the policy and save it if it is the best; return False if the budget does not allow this."""
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
