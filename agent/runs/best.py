"""The best policy of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..callbacks import Callback
from ..metrics import EpochMetrics
from .directory import RunDirectory

if TYPE_CHECKING:
    from ..ppo import PPO


class BestPolicy(Callback):
    """Validates the policy every few epochs and at the end, and keeps the one with the highest mean return.

    Of several with the same mean return the first is kept. A resumed run compares with what was kept before. What is
    reported of the policy that is kept are other episodes than those it was chosen by.
    """

    def __init__(self, run: RunDirectory, every: int) -> None:
        """Look what is kept already.

        Args:
            run: Where the best actor and its evaluation go.
            every: Epochs from one validation to the next, at least 1.

        Raises:
            OSError: If what is kept cannot be read.
            ValueError: If it is damaged.
        """
        self._run = run
        self._every = every
        self._highest = run.read_best_mean()
        self._validated_epoch = 0

    def on_epoch_end(self, ppo: PPO, metrics: EpochMetrics) -> None:
        """Validate, if it is time."""
        if metrics.epoch % self._every == 0:
            self._validate(ppo)

    def on_train_end(self, ppo: PPO) -> None:
        """Validate the last policy."""
        if ppo.epoch > self._validated_epoch:
            self._validate(ppo)

    def _validate(self, ppo: PPO) -> None:
        mean = ppo.validate().mean
        self._validated_epoch = ppo.epoch
        if mean > self._highest:
            self._highest = mean
            self._run.write_best(ppo.actor, mean, {"epoch": ppo.epoch, **ppo.evaluate().as_dict()})
