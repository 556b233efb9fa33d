"""Arrays by their addresses, within kernels."""

from __future__ import annotations

from typing import Any

import numba
import numpy.typing as npt
from numba.extending import intrinsic

from fastcartpole.kernels import kernel


@intrinsic  # type: ignore[untyped-decorator]
def pointer(_typing_context: Any, address: Any) -> Any:
    """Return an integer as the pointer that ``numba.carray`` takes."""

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(numba.types.voidptr))

    if not isinstance(address, numba.types.Integer):
        return None
    return numba.types.voidptr(address), generate


@kernel()
def borrowed(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a C-contiguous array without a share in its memory's ownership: to cut it costs no counting of owners.

    For arguments only: their caller holds them. (An array that a kernel has made lives until its last use by name.)
    Counting is atomic, and takes longer than to move one environment.
    """
    view: npt.NDArray[Any] = numba.carray(pointer(array.ctypes.data), array.shape, array.dtype)
    return view
