"""Faster arithmetic for ``precision="fast"``: polynomial sines, and equations with fewer roundings and divisions."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fastcartpole.kernels import kernel
from fastcartpole.physics import accelerations
from fastcartpole.trigonometry import LARGEST_ANGLE, cosine_correction, libm_cosine, libm_sine, sine_correction

# The same equations, but the compiler may multiply by the reciprocal of a constant instead of dividing by it, and round
# a product and a sum together.
fast_accelerations = kernel(fastmath={"arcp", "contract"})(accelerations.py_func)  # type: ignore[attr-defined]


@kernel(fastmath={"contract"})
def fast_sines_and_cosines(
    angles: npt.NDArray[np.float64], sines: npt.NDArray[np.float64], cosines: npt.NDArray[np.float64]
) -> None:
    """Write sines and cosines, each within 1 unit in the last place.

    Args:
        angles: Shape (B,), float64, in rad.
        sines: Shape (B,), float64, overwritten.
        cosines: Shape (B,), float64, overwritten.
    """
    outside = 0
    for j in range(angles.size):
        x = angles[j]
        sines[j] = x + sine_correction(x)
        cosines[j] = 1.0 + cosine_correction(x)
        outside |= 0 if abs(x) <= LARGEST_ANGLE else 1
    if outside == 0:
        return
    for j in range(angles.size):
        if not abs(angles[j]) <= LARGEST_ANGLE:
            sines[j] = libm_sine(angles[j])
            cosines[j] = libm_cosine(angles[j])
