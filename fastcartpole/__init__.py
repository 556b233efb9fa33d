"""A batched CartPole in Numba, bit-identical to Gymnasium's ``CartPole-v1``.

Importing this package is light: Numba and the kernels load when a name is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastcartpole.physics import CartPoleParameters
    from fastcartpole.vector_env import CartPoleVectorEnv

__all__ = ["CartPoleParameters", "CartPoleVectorEnv"]


def __getattr__(name: str) -> object:
    if name == "CartPoleVectorEnv":
        from fastcartpole.vector_env import CartPoleVectorEnv

        return CartPoleVectorEnv
    if name == "CartPoleParameters":
        from fastcartpole.physics import CartPoleParameters

        return CartPoleParameters
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
