"""Callbacks of a training run. Imports only the standard library."""

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
    """Base class of callbacks: override the methods you need; the others do nothing.

    Set ``ppo.stop_training = True`` in a callback to end training after the current epoch. What the methods return is
    ignored; only a function as a callback also ends training by returning False.
    """

    def on_train_begin(self, ppo: PPO) -> None:
        """Called once, before the first epoch."""

    def on_epoch_end(self, ppo: PPO, metrics: EpochMetrics) -> None:
        """Called after every epoch with its metrics."""

    def on_train_end(self, ppo: PPO) -> None:
        """Called once, after the last epoch; not called if an exception ends training."""


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
"""Metrics sent to experiment trackers: the tag, as in Stable-Baselines3, and the field of ``EpochMetrics``."""


class Tracker(Callback):
    """Base class of callbacks that log the metrics of every epoch to an experiment tracker: override ``log``."""

    def log(self, figures: dict[str, float], step: int) -> None:
        """Log the metrics of one epoch.

        Args:
            figures: Metrics by tag, see ``TAGS``. Values that are not finite are omitted, such as the mean return
                before the first episode ends.
            step: Environment steps so far.
        """
        raise NotImplementedError

    def on_epoch_end(self, ppo: PPO, metrics: EpochMetrics) -> None:
        """Log the metrics of the epoch."""
        figures = {tag: float(getattr(metrics, field)) for tag, field in TAGS.items()}
        self.log({tag: value for tag, value in figures.items() if math.isfinite(value)}, metrics.env_steps)


Callbacks = Iterable[Callback | OnEpochEnd] | Callback | OnEpochEnd


class _FunctionCallback(Callback):
    """Calls a function after every epoch, and ends training if its result is False."""

    def __init__(self, function: OnEpochEnd) -> None:
        self._function = function

    def on_epoch_end(self, ppo: PPO, metrics: EpochMetrics) -> None:
        """Call the function; only False ends training, not None or anything else that is false."""
        import numpy as np

        result = self._function(ppo, metrics)
        # Comparisons of NumPy's numbers have a False of their own.
        if isinstance(result, (bool, np.bool_)) and not result:
            ppo.stop_training = True


def as_callbacks(given: Callbacks) -> list[Callback]:
    """Return callbacks as a list of ``Callback`` objects.

    Args:
        given: ``Callback`` objects, or functions of the agent and the metrics of an epoch; an iterable of them, or a
            single one. If a function returns False, also NumPy's, training ends after the epoch; with None and every
            other result it goes on.

    Raises:
        TypeError: If a callback is neither.
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
        # Functions of compiled modules may have no signature to inspect.
        pass
    return _FunctionCallback(given)
