"""PPO for CartPole: Keras networks on TensorFlow, rollouts in Numba.

Importing this package is light: TensorFlow and Numba load when a name that needs them is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from agent.callbacks import Callback
from agent.config import PPOConfig
from agent.metrics import EpochMetrics
from agent.presets import PRESETS, adapted_preset, preset_config

if TYPE_CHECKING:
    from agent.ppo import PPO
    from agent.rollouts.evaluation import EvaluationResult, evaluate
    from agent.runs.loading import load
    from agent.sweeps.sweeping import SweepResult, sweep

__all__ = [
    "PPO",
    "PRESETS",
    "Callback",
    "EpochMetrics",
    "EvaluationResult",
    "PPOConfig",
    "SweepResult",
    "adapted_preset",
    "evaluate",
    "load",
    "preset_config",
    "sweep",
]

_MODULES = {
    "PPO": "agent.ppo",
    "EvaluationResult": "agent.rollouts.evaluation",
    "evaluate": "agent.rollouts.evaluation",
    "load": "agent.runs.loading",
    "SweepResult": "agent.sweeps.sweeping",
    "sweep": "agent.sweeps.sweeping",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = import_module(_MODULES[name])
    except AttributeError as error:
        # As it is, Python would take it for a missing name of this package.
        raise ImportError(f"{_MODULES[name]} cannot be imported: {error}") from error
    return getattr(module, name)
