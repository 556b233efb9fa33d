"""Earlier policies of a run, recovered by training it again."""

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

    A seed determines a training run to the last bit, so no intermediate checkpoints are needed. Every epoch is compared
    with the recorded one.

    Args:
        config: The configuration of the run.
        recorded: The metrics it recorded after each epoch.
        resumptions: The points at which it was resumed, where environments whose state cannot be saved started new
            episodes.
        epochs: Epochs after which to return the actor, at most the recorded number; 0 is before training.
        on_epoch_end: Called with the number of trained epochs.

    Raises:
        ValueError: If an epoch differs from the recorded one, which can happen on another processor, with another
            version of TensorFlow or NumPy, or in an environment that ignores its seed.
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
    """Raise a ValueError if an epoch differs from the recorded one."""
    if _without_times(metrics) != _without_times(recorded[epoch - 1]):
        raise ValueError(
            f"epoch {epoch} differs from the recorded one when the run is trained again. This can happen on another "
            "processor, with other versions of TensorFlow or NumPy, or in an environment that ignores its seed."
        )


def _epochs_planned(epoch: int, resumptions: Sequence[Resumption], last: int) -> int:
    """Return the number of epochs the run was configured for when it trained this one."""
    planned = next((resumption.epochs for resumption in resumptions if resumption.after_epoch >= epoch), last)
    return max(planned, epoch)


def _without_times(metrics: EpochMetrics) -> str:
    """Return the metrics that do not depend on the clock, as text, in which NaN equals NaN."""
    return repr(dataclasses.replace(metrics, steps_per_second=0.0, elapsed_s=0.0))
