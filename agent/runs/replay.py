"""Earlier policies of a run, by training it again."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from ..learning.networks import copy_of
from ..metrics import EpochMetrics
from ..ppo import PPO

if TYPE_CHECKING:
    from ..config import PPOConfig
    from ..process.backend import keras


def actors_after(
    config: PPOConfig,
    recorded: list[EpochMetrics],
    resumptions: Collection[int],
    epochs: Collection[int],
    on_epoch_end: Callable[[int], object],
) -> dict[int, keras.Model]:
    """Train a run again and return its actors after chosen epochs.

    A seed fixes a training to the last bit, so that nothing has to be kept for this. Whether this training is the
    recorded one is checked epoch by epoch.

    Args:
        config: The configuration of the run.
        recorded: What it reported after each epoch.
        resumptions: After which epochs it was resumed: there environments whose state cannot be kept began anew.
        epochs: After which to return the actor; 0 is before the training. At most the recorded number.
        on_epoch_end: Is told how many epochs have been trained.

    Raises:
        ValueError: If an epoch comes out otherwise than recorded, as it may with another processor or another version
            of TensorFlow.
    """
    with PPO(config) as ppo:
        return _actors(ppo, recorded, resumptions, epochs, on_epoch_end)


def _actors(
    ppo: PPO,
    recorded: list[EpochMetrics],
    resumptions: Collection[int],
    epochs: Collection[int],
    on_epoch_end: Callable[[int], object],
) -> dict[int, keras.Model]:
    actors = {0: copy_of(ppo.actor)} if 0 in epochs else {}
    if max(epochs) > 0:
        ppo.compile()
    for epoch in range(1, max(epochs) + 1):
        if epoch - 1 in resumptions:
            ppo.begin_new_episodes()
        metrics = ppo.train_epoch()
        if _without_times(metrics) != _without_times(recorded[epoch - 1]):
            raise ValueError(
                f"training again gives another epoch {epoch} than the run recorded: on another processor, with other "
                "versions of TensorFlow or NumPy, or after a linear schedule was resumed for longer, it may."
            )
        if epoch in epochs:
            actors[epoch] = copy_of(ppo.actor)
        on_epoch_end(epoch)
    return actors


def _without_times(metrics: EpochMetrics) -> str:
    """Return the figures that do not depend on the clock; as text, which is equal where both are not numbers."""
    return repr(dataclasses.replace(metrics, steps_per_second=0.0, elapsed_s=0.0))
