"""PPO for Keras 3: ``from fastppo import PPO, PPOConfig, preset_config``.

This package re-exports the names of ``agent`` and is as light to import: TensorFlow and Numba are loaded when a name
that needs them is first used. If another module is called ``agent``, it keeps that name, and the package of fastppo is
imported as ``fastppo.agent``.
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
_PATH = Path(__file__).resolve().parents[1] / "agent" / "__init__.py"


def _is_fastppo_agent(file: str | None) -> bool:
    return file is not None and Path(file).resolve() == _PATH


def _load_agent() -> ModuleType:
    """Return fastppo's package ``agent``, even if another module has that name.

    Raises:
        ImportError: If the package is missing.
    """
    if not _PATH.exists():
        raise ImportError("agent, which is a part of fastppo, is missing: pip install --force-reinstall fastppo.")
    known = sys.modules.get("agent")
    spec = known.__spec__ if known is not None else find_spec("agent")
    if spec is not None and _is_fastppo_agent(spec.origin):
        module = import_module("agent")
        # Objects pickled in another process may refer to it by this name.
        sys.modules[_NAME] = module
        return module
    spec = spec_from_file_location(_NAME, _PATH, submodule_search_locations=[str(_PATH.parent)])
    if spec is None or spec.loader is None:
        raise ImportError(f"{_PATH} cannot be imported.")
    module = module_from_spec(spec)
    sys.modules[_NAME] = module
    spec.loader.exec_module(module)
    return module


agent = _load_agent()

__all__ = [*agent.__all__, "__version__"]


def __getattr__(name: str) -> object:
    if name == "__version__":
        return version("fastppo")
    if name not in agent.__all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(agent, name)


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
