"""Earlier policies of a run, by training it again."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

from .actors import copy_of
from .metrics import EpochMetrics
from .ppo import PPO
from .runs.directory import Resumption

if TYPE_CHECKING:
    from .config import PPOConfig
    from .process.backend import keras


def actors_after(
    config: PPOConfig,
    recorded: list[EpochMetrics],
    resumptions: Sequence[Resumption],
    epochs: Collection[int],
    on_epoch_end: Callable[[int], object],
) -> dict[int, keras.Model]:
    """Train a run again and return its actors after chosen epochs.

    A seed fixes a training to the last bit, so that nothing has to be kept for this. Whether this training is the
    recorded one is checked epoch by epoch.

    Args:
        config: The configuration of the run.
        recorded: What it reported after each epoch.
        resumptions: Where it was resumed: there environments whose state cannot be kept began new episodes.
        epochs: After which to return the actor; 0 is before the training. At most the recorded number.
        on_epoch_end: Is told how many epochs have been trained.

    Raises:
        ValueError: If an epoch comes out otherwise than recorded, as it may with another processor, another version of
            TensorFlow, or an environment that does not honour its seed.
    """
    with PPO(config) as ppo:
        actors = {0: copy_of(ppo.actor)} if 0 in epochs else {}
        if max(epochs) > 0:
            ppo.compile()
        for epoch in range(1, max(epochs) + 1):
            if any(resumption.after_epoch == epoch - 1 for resumption in resumptions):
                ppo.begin_new_episodes()
            ppo.config = ppo.config.replace(epochs=_epochs_planned(epoch, resumptions, config.epochs))
            _assert_recorded(epoch, ppo.train_epoch(), recorded)
            if epoch in epochs:
                actors[epoch] = copy_of(ppo.actor)
            on_epoch_end(epoch)
        return actors


def _assert_recorded(epoch: int, metrics: EpochMetrics, recorded: list[EpochMetrics]) -> None:
    """Raise a ValueError if an epoch came out otherwise than recorded."""
    if _without_times(metrics) != _without_times(recorded[epoch - 1]):
        raise ValueError(
            f"training again gives another epoch {epoch} than the run recorded, as it may on another processor, with "
            "other versions of TensorFlow or NumPy, or in an environment that does not honour its seed."
        )


def _epochs_planned(epoch: int, resumptions: Sequence[Resumption], last: int) -> int:
    """Return how many epochs the run was to have when it trained this one."""
    planned = next((resumption.epochs for resumption in resumptions if resumption.after_epoch >= epoch), last)
    return max(planned, epoch)


def _without_times(metrics: EpochMetrics) -> str:
    """Return the figures that do not depend on the clock; as text, which is equal where both are not numbers."""
    return repr(dataclasses.replace(metrics, steps_per_second=0.0, elapsed_s=0.0))
