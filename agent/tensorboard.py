"""TensorBoard event files, with the tags that Stable-Baselines3 made customary."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from agent.backend import tf
from agent.callbacks import Callback
from agent.metrics import EpochMetrics

if TYPE_CHECKING:
    from agent.training import PPO

# What is written under which tag.
TAGS = {
    "rollout/ep_rew_mean": "mean_return",
    "rollout/ep_len_mean": "mean_length",
    "time/fps": "steps_per_second",
    "time/time_elapsed": "elapsed_s",
    "train/approx_kl": "kl",
    "train/clip_fraction": "clip_fraction",
    "train/entropy": "entropy",
    "train/explained_variance": "explained_variance",
    "train/policy_gradient_loss": "policy_loss",
    "train/value_loss": "value_loss",
}


class TensorBoardWriter(Callback):
    """Writes the figures of every epoch as scalars; the step is the number of environment steps."""

    def __init__(self, directory: Path) -> None:
        """Prepare; the first epoch opens a new event file beside those of earlier sessions.

        Args:
            directory: Where TensorBoard looks; made if it does not exist.
        """
        self._directory = directory
        self._writer: tf.summary.SummaryWriter | None = None

    def on_epoch_end(self, ppo: PPO, metrics: EpochMetrics) -> None:
        """Write one scalar for each tag; what is not a number, such as the return of no episode, is left out."""
        if self._writer is None:
            self._writer = tf.summary.create_file_writer(str(self._directory))
        with self._writer.as_default(step=metrics.env_steps):
            for tag, field in TAGS.items():
                value = getattr(metrics, field)
                if math.isfinite(value):
                    tf.summary.scalar(tag, value)
        self._writer.flush()
