"""A worker of a sweep, which trains runs one after the other and reuses compiled code. Imports nothing heavy."""

from __future__ import annotations

import json
import threading
import traceback
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..callbacks import Callback
from ..config import PPOConfig
from ..errors import reason_of
from ..metrics import EpochMetrics
from ..process.memory_maps import memory_maps

if TYPE_CHECKING:
    from ..ppo import PPO

# Each agent holds several compiled graphs.
_MOST_AGENTS = 4
_AGENTS: OrderedDict[object, PPO] = OrderedDict()
_HAS_TRAINED = False
# Workers of Dask may be threads of the same process.
_ONE_AT_A_TIME = threading.Lock()


class Point(NamedTuple):
    """One epoch of a learning curve.

    Attributes:
        env_steps: Environment steps so far.
        mean_return: Mean return, as in ``metrics.csv``.
        train_s: Training time so far in seconds.
    """

    env_steps: int
    mean_return: float
    train_s: float


@dataclass(frozen=True)
class Outcome:
    """Results of a training run.

    Attributes:
        final_return: Mean return of the last policy over 100 greedy episodes.
        env_steps: Number of environment steps.
        train_s: Training time in seconds, without compilation.
        solved: Whether the final return reaches ``target_return``; None if there is no target.
        target_return: The configuration's target return, or Gymnasium's reward threshold; None if neither exists.
        ended_early: Whether training ended early because the target was reached, so that ``env_steps`` and ``train_s``
            measure when.
        curve: The learning curve, with one point per epoch.
    """

    final_return: float
    env_steps: int
    train_s: float
    solved: bool | None
    target_return: float | None
    ended_early: bool
    curve: tuple[Point, ...]


@dataclass(frozen=True)
class Failure:
    """The failure of a training run.

    Attributes:
        reason: The reason in one line; for an exception, its type, where it was raised, and its message.
    """

    reason: str


def train_one(config: PPOConfig) -> Outcome | Failure:
    """Train an agent and evaluate it.

    The result does not depend on what the worker trained before, or on what else is running.

    Args:
        config: The configuration of the run.

    Returns:
        The outcome, or a failure instead of any exception.
    """
    global _HAS_TRAINED
    with _ONE_AT_A_TIME:
        _HAS_TRAINED = True
        try:
            return _outcome(config)
        except Exception as error:
            return Failure(_described(error))


def is_used_up() -> bool:
    """Return whether earlier runs may have taken the memory maps that another run needs.

    Compiled graphs stay mapped when their agent is gone. A process that has trained nothing is never used up, so that
    each process trains at least one run.
    """
    maps = memory_maps()
    return _HAS_TRAINED and maps is not None and maps.are_half_used


def _described(error: Exception) -> str:
    """Return an exception as one line, such as ``ValueError in training.py, line 12: gamma must be ...``."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" in {Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{place}: {reason_of(error)}"


def _outcome(config: PPOConfig) -> Outcome:
    from ..environments.spec import target_return

    ppo, curve = _agent(config), _Curve()
    ppo.train([curve])
    final_return = ppo.evaluate().mean
    last = curve.points[-1]
    target = ppo.spec.reward_threshold if ppo.config.target_return is None else target_return(ppo.config, ppo.spec)
    solved = None if target is None else final_return >= target
    return Outcome(final_return, last.env_steps, last.train_s, solved, target, ppo.is_solved, tuple(curve.points))


def _agent(config: PPOConfig) -> PPO:
    """Return an untrained agent, reusing an earlier one if its compiled graphs fit."""
    from ..ppo import PPO

    # The environment determines the sizes of observations and actions.
    key = (config.env_id, json.dumps(config.env_kwargs, sort_keys=True), config.compiled_settings)
    ppo = _AGENTS.pop(key, None)
    if ppo is None:
        ppo = PPO(config)
        ppo.compile()
    else:
        ppo.restart(config)
    _AGENTS[key] = ppo
    while len(_AGENTS) > _MOST_AGENTS:
        _AGENTS.popitem(last=False)[1].close()
    return ppo


class _Curve(Callback):
    def __init__(self) -> None:
        self.points: list[Point] = []

    def on_epoch_end(self, ppo: PPO, metrics: EpochMetrics) -> None:
        self.points.append(Point(metrics.env_steps, metrics.mean_return, metrics.elapsed_s))
