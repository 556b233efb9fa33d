"""What may watch a training run. Imports the standard library only."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from .metrics import EpochMetrics

if TYPE_CHECKING:
    from .ppo import PPO

OnEpochEnd = Callable[["PPO", EpochMetrics], object]


class Callback:
    """Watches a training run; every method may be overridden, and does nothing otherwise.

    A callback ends the training after the current epoch by setting ``ppo.stop_training``.
    """

    def on_train_begin(self, ppo: PPO) -> None:
        """Called once before the first epoch."""

    def on_epoch_end(self, ppo: PPO, metrics: EpochMetrics) -> None:
        """Called after every epoch with its figures."""

    def on_train_end(self, ppo: PPO) -> None:
        """Called once after the last epoch; not where an exception ended the training."""


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
"""The figures that experiment trackers get, by the names that Stable-Baselines3 made customary."""


class Tracker(Callback):
    """Hands the figures of every epoch to an experiment tracker: a subclass says how, in ``log``."""

    def log(self, figures: dict[str, float], step: int) -> None:
        """Log figures.

        Args:
            figures: By the names of ``TAGS``; those that are not finite, such as the mean return before the first
                episode has ended, are left out.
            step: Environment steps so far.
        """
        raise NotImplementedError

    def on_epoch_end(self, ppo: PPO, metrics: EpochMetrics) -> None:
        """Log the figures of the epoch."""
        figures = {tag: float(getattr(metrics, field)) for tag, field in TAGS.items()}
        self.log({tag: value for tag, value in figures.items() if math.isfinite(value)}, metrics.env_steps)


Callbacks = Iterable[Callback | OnEpochEnd] | Callback | OnEpochEnd


class _FunctionCallback(Callback):
    """Calls a function after every epoch."""

    def __init__(self, function: OnEpochEnd) -> None:
        self._function = function

    def on_epoch_end(self, ppo: PPO, metrics: EpochMetrics) -> None:
        """Call the function."""
        self._function(ppo, metrics)


def as_callbacks(given: Callbacks) -> list[Callback]:
    """Return callbacks as objects.

    Args:
        given: Objects of ``Callback``, functions of an agent and the figures of an epoch, or a single one.

    Raises:
        TypeError: If one is neither.
    """
    if isinstance(given, Callback) or callable(given):
        return [_as_callback(given)]
    if not isinstance(given, Iterable):
        raise TypeError(f"callbacks must be a list of agent.Callback objects or functions, got {given!r}.")
    return [_as_callback(callback) for callback in given]


def _as_callback(given: object) -> Callback:
    if isinstance(given, Callback):
        return given
    if isinstance(given, type) or not callable(given):
        raise TypeError(f"callbacks must hold agent.Callback objects or functions, got {given!r}.")
    try:
        inspect.signature(given).bind(None, None)
    except TypeError:
        raise TypeError(f"callbacks must hold functions that take an agent and its metrics, got {given!r}.") from None
    except ValueError:
        # A function of a compiled module does not tell what it takes.
        pass
    return _FunctionCallback(given)
