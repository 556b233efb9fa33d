"""What may watch a training run. Imports the standard library only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .metrics import EpochMetrics

if TYPE_CHECKING:
    from .ppo import PPO


class Callback:
    """Watches a training run; every method may be overridden, and does nothing otherwise.

    A callback ends the training after the current epoch by setting ``ppo.stop_training``.
    """

    def on_train_begin(self, ppo: PPO) -> None:
        """Be told that the first epoch is about to begin."""

    def on_epoch_end(self, ppo: PPO, metrics: EpochMetrics) -> None:
        """Be told the figures of the epoch that has just ended."""

    def on_train_end(self, ppo: PPO) -> None:
        """Be told that the last epoch has ended."""
