"""PPO for Keras 3: ``from fastppo import PPO, PPOConfig, preset_config``.

This package hands on the names of ``agent``, and is as light: TensorFlow and Numba load when a name that needs them is
first used. A module of the user's own that is called ``agent`` stays what it is: ours goes by ``fastppo.agent`` then.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent import PPO as PPO
    from agent import PRESETS as PRESETS
    from agent import Callback as Callback
    from agent import EpochMetrics as EpochMetrics
    from agent import EvaluationResult as EvaluationResult
    from agent import PPOConfig as PPOConfig
    from agent import SweepResult as SweepResult
    from agent import TensorBoardWriter as TensorBoardWriter
    from agent import Tracker as Tracker
    from agent import adapted_preset as adapted_preset
    from agent import evaluate as evaluate
    from agent import load as load
    from agent import preset_config as preset_config
    from agent import sweep as sweep

    __version__: str

_NAME = f"{__name__}.agent"
_PLACE = Path(__file__).resolve().parents[1] / "agent" / "__init__.py"


def _is_ours(file: str | None) -> bool:
    return file is not None and Path(file).resolve() == _PLACE


def _our_agent() -> ModuleType:
    """Return the package ``agent``, also where another module has its name.

    Raises:
        ImportError: If it is not there.
    """
    if not _PLACE.exists():
        raise ImportError("agent, which is a part of fastppo, is missing: pip install --force-reinstall fastppo.")
    known = sys.modules.get("agent")
    spec = known.__spec__ if known is not None else find_spec("agent")
    if spec is not None and _is_ours(spec.origin):
        module = import_module("agent")
        # What another process has pickled may know it by this name.
        sys.modules[_NAME] = module
        return module
    spec = spec_from_file_location(_NAME, _PLACE, submodule_search_locations=[str(_PLACE.parent)])
    if spec is None or spec.loader is None:
        raise ImportError(f"{_PLACE} cannot be imported.")
    module = module_from_spec(spec)
    sys.modules[_NAME] = module
    spec.loader.exec_module(module)
    return module


agent = _our_agent()

__all__ = [*agent.__all__, "__version__"]


def __getattr__(name: str) -> object:
    if name == "__version__":
        return version("fastppo")
    if name not in agent.__all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(agent, name)


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
