"""A batched CartPole in Numba, bit-identical to Gymnasium's ``CartPole-v1``.

Importing this package registers ``fastcartpole/CartPole-v1`` and ``fastcartpole/CartPole-v0`` with Gymnasium. The
import is light: Numba and the kernels are loaded when an environment class is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

import gymnasium

if TYPE_CHECKING:
    from fastcartpole.env import CartPoleEnv
    from fastcartpole.physics import CartPoleParameters
    from fastcartpole.rollout import Trajectories
    from fastcartpole.vector_env import CartPoleVectorEnv

__all__ = ["CartPoleEnv", "CartPoleParameters", "CartPoleVectorEnv", "Trajectories"]

_MODULES = {
    "CartPoleEnv": "fastcartpole.env",
    "CartPoleParameters": "fastcartpole.physics",
    "CartPoleVectorEnv": "fastcartpole.vector_env",
    "Trajectories": "fastcartpole.rollout",
}

for _id, _max_episode_steps, _reward_threshold in (("v0", 200, 195.0), ("v1", 500, 475.0)):
    gymnasium.register(
        id=f"fastcartpole/CartPole-{_id}",
        entry_point="fastcartpole.env:CartPoleEnv",
        vector_entry_point="fastcartpole.vector_env:CartPoleVectorEnv",
        max_episode_steps=_max_episode_steps,
        reward_threshold=_reward_threshold,
    )


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = import_module(_MODULES[name])
    except AttributeError as error:
        # Left as an AttributeError, it would look like a missing name of this package.
        raise ImportError(f"{_MODULES[name]} cannot be imported: {error}") from error
    return getattr(module, name)


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
