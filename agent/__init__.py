"""PPO for CartPole: Keras networks on TensorFlow, rollouts in Numba.

Importing this package is light: TensorFlow and Numba load when a name that needs them is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.callbacks import Callback
from agent.config import PRESETS, PPOConfig, preset_config
from agent.metrics import EpochMetrics

if TYPE_CHECKING:
    from agent.evaluation import EvaluationResult, evaluate
    from agent.loading import load
    from agent.sweeps.sweeping import SweepResult, sweep
    from agent.training import PPO

__all__ = [
    "PPO",
    "PRESETS",
    "Callback",
    "EpochMetrics",
    "EvaluationResult",
    "PPOConfig",
    "SweepResult",
    "evaluate",
    "load",
    "preset_config",
    "sweep",
]


def __getattr__(name: str) -> object:
    if name == "PPO":
        from agent.training import PPO

        return PPO
    if name == "load":
        from agent.loading import load

        return load
    if name in ("EvaluationResult", "evaluate"):
        from agent import evaluation

        return getattr(evaluation, name)
    if name in ("SweepResult", "sweep"):
        from agent.sweeps import sweeping

        return getattr(sweeping, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
