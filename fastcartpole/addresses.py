"""Access to arrays by their addresses, inside kernels."""

from __future__ import annotations

from typing import Any

import numba
import numpy.typing as npt
from numba.extending import intrinsic

from fastcartpole.kernels import kernel


@intrinsic  # type: ignore[untyped-decorator]
def pointer(_typing_context: Any, address: Any) -> Any:
    """Return an integer address as a pointer for ``numba.carray``."""

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(numba.types.voidptr))

    if not isinstance(address, numba.types.Integer):
        return None
    return numba.types.voidptr(address), generate


@kernel()
def borrowed(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a view of a C-contiguous array that does not own its memory, so that slices need no reference counting.

    Use it for arguments only, which the caller keeps alive. (An array created by a kernel lives until its last use by
    name.) Reference counting is atomic, and takes longer than stepping one environment.
    """
    view: npt.NDArray[Any] = numba.carray(pointer(array.ctypes.data), array.shape, array.dtype)
    return view
