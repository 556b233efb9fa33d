"""PPO for Gymnasium: Keras networks on TensorFlow, rollouts in Numba kernels, and CartPole inside the kernel.

Importing this package is fast: TensorFlow and Numba are imported when a name that needs them is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from .callbacks import Callback, Tracker
from .config import PPOConfig
from .errors import explained
from .metrics import EpochMetrics
from .presets import PRESETS, adapted_preset, preset_config

if TYPE_CHECKING:
    from .loading import load
    from .ppo import PPO
    from .rollouts.evaluation import EvaluationResult, evaluate
    from .sweeps.sweeping import SweepResult, sweep
    from .views.tensorboard import TensorBoardWriter

__all__ = [
    "PPO",
    "PRESETS",
    "Callback",
    "EpochMetrics",
    "EvaluationResult",
    "PPOConfig",
    "SweepResult",
    "TensorBoardWriter",
    "Tracker",
    "adapted_preset",
    "evaluate",
    "load",
    "preset_config",
    "sweep",
]

_MODULES = {
    "PPO": ".ppo",
    "EvaluationResult": ".rollouts.evaluation",
    "evaluate": ".rollouts.evaluation",
    "load": ".loading",
    "SweepResult": ".sweeps.sweeping",
    "sweep": ".sweeps.sweeping",
    "TensorBoardWriter": ".views.tensorboard",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = import_module(_MODULES[name], __name__)
    except AttributeError as error:
        # Python would take an AttributeError for a missing name of this package.
        raise ImportError(f"{name} cannot be imported: {error}") from error
    except ModuleNotFoundError as error:
        raise explained(error) from error
    return getattr(module, name)


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
