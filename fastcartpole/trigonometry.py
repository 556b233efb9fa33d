"""Sine and cosine, bit-identical to the C library's.

Exact sines are Gymnasium's sines: NumPy's scalar ``sin`` and ``cos`` call the C library, and so do ``libm_sine`` and
``libm_cosine``. These calls take most of the time of a step, and most of them can be avoided by a rounding test (A.
Ziv, "Fast Evaluation of Elementary Mathematical Functions with Correctly Rounded Last Bit", 1991):

A polynomial gives the value as an unevaluated sum ``rounded + residue``. The only error of the residue is that of the
correction it is derived from: the roundings of a few operations, each at most 2**-53 of the correction. Comments in
glibc's ``s_sin.c`` bound the error of its results in units in the last place (ulp), including half an ulp of the final
rounding: 0.501 for the sine of up to 0.126 rad, 0.518 for the sine of larger angles, and 0.51 for the cosine. If the
true residue is smaller than what these bounds leave of half an ulp, with a margin, ``rounded`` is therefore what glibc
returns. Otherwise, in one case out of thirty, the C library is called. With other C libraries it is always called.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba.core import cgutils
from numba.extending import intrinsic

from fastcartpole.kernels import kernel

# How exact sines and cosines are computed.
LIBM = 0
ROUNDING_TEST = 1

# Number of environments that are stepped together; their data stay in the first-level cache.
BLOCK = 256

# The polynomials' range in rad; the pole falls at 0.21.
LARGEST_ANGLE = 0.25
# Scaled by one of these factors, a residue rounds away exactly if it is below the factor's denominator in ulp.
_SMALL_SINE_SCALE = 0.5 / 0.498
_SINE_SCALE = 0.5 / 0.48
_COSINE_SCALE = 0.5 / 0.489
# In rad; glibc computes the sines of smaller angles by another method.
_SMALL_ANGLE = 0.126
# Bounds of the corrections' relative errors: roundings of the square, of -1/6 (-1/2 is exact), of the sum after it and
# of one or two products. The later terms contribute less than a quarter of one rounding.
_SINE_ERROR = 5 * 2.0**-53
_COSINE_ERROR = 3.25 * 2.0**-53

# Taylor coefficients: within the range, the first omitted terms are below 2**-63 of the value.
_S1, _S2, _S3, _S4, _S5, _S6 = -1 / 6, 1 / 120, -1 / 5040, 1 / 362880, -1 / 39916800, 1 / 6227020800
_C1, _C2, _C3, _C4, _C5, _C6 = -1 / 2, 1 / 24, -1 / 720, 1 / 40320, -1 / 3628800, 1 / 479001600


def exact_method() -> int:
    """Return the fastest exact method on this machine; the rounding test relies on glibc's error bounds."""
    try:
        library = os.confstr("CS_GNU_LIBC_VERSION")
    except (AttributeError, OSError, ValueError):
        library = None
    return ROUNDING_TEST if library else LIBM


Functions = tuple[Callable[[float], float], Callable[[float], float]]

# They cover the pole's range and beyond, more densely where the pole usually is.
_PROBED_ANGLES = tuple(0.0137 * k * (1.0 + 0.31 * k) for k in range(1, 25))


@cache
def warn_where_numpy_differs() -> None:
    """Warn once per process if NumPy's scalar sines, which Gymnasium uses, differ from the C library's.

    If compiled code may call a different library than Python, as on Windows, that library is checked, too.
    """
    libraries: list[Functions] = [(math.sin, math.cos)]
    if exact_method() == LIBM:
        libraries.append((_called_sine, _called_cosine))
    differs = any(
        float(numpy_function(angle)) != function(angle)
        for functions in libraries
        for numpy_function, function in zip((np.sin, np.cos), functions, strict=True)
        for angle in _PROBED_ANGLES
    )
    if differs:
        warnings.warn(
            "NumPy's sines are not the C library's on this machine: environments may differ from Gymnasium's in their "
            "last digits.",
            RuntimeWarning,
            stacklevel=2,
        )


def _scalar_call(name: str) -> Callable[[float], float]:
    """Return a jittable call of a C library function that the compiler can neither inline nor vectorize.

    A vectorized call would be replaced by Intel's SVML, whose last bits differ, if that library is installed.
    """

    @intrinsic  # type: ignore[untyped-decorator]
    def call(_typing_context: Any, x: Any) -> Any:
        def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            double = ir.DoubleType()
            function = cgutils.get_or_insert_function(
                builder.module, ir.FunctionType(double, [double]), f"fastcartpole_scalar_{name}"
            )
            if function.is_declaration:
                function.linkage = "linkonce_odr"
                function.attributes.add("noinline")
                body = ir.IRBuilder(function.append_basic_block())
                body.ret(body.call(builder.module.declare_intrinsic(f"llvm.{name}", [double]), function.args))
            return builder.call(function, arguments)

        if not isinstance(x, numba.types.Float):
            return None
        return numba.types.float64(numba.types.float64), generate

    exact_call: Callable[[float], float] = call
    return exact_call


libm_sine = _scalar_call("sin")
libm_cosine = _scalar_call("cos")


@kernel()
def _called_sine(x: float) -> float:
    return libm_sine(x)


@kernel()
def _called_cosine(x: float) -> float:
    return libm_cosine(x)


@kernel()
def sine_correction(x: float) -> float:
    """Return sin(x) - x for an angle of at most 0.25 rad."""
    s = x * x
    return x * (s * (_S1 + s * (_S2 + s * (_S3 + s * (_S4 + s * (_S5 + s * _S6))))))


@kernel()
def cosine_correction(x: float) -> float:
    """Return cos(x) - 1 for an angle of at most 0.25 rad."""
    s = x * x
    return s * (_C1 + s * (_C2 + s * (_C3 + s * (_C4 + s * (_C5 + s * _C6)))))


@kernel()
def _rounding_doubt(rounded: float, residue: float, error: float, scale: float) -> float:
    """Return 0 if the largest possible residue rounds away: ``rounded`` is then the C library's value."""
    largest_residue = residue + np.copysign(error, residue)
    doubt: float = abs((rounded + scale * largest_residue) - rounded)
    return doubt


@kernel()
def sines_and_cosines(
    angles: npt.NDArray[np.float64],
    method: int,
    sines: npt.NDArray[np.float64],
    cosines: npt.NDArray[np.float64],
    doubts: npt.NDArray[np.float64],
    indices: npt.NDArray[np.int64],
) -> None:
    """Write sines and cosines of up to ``BLOCK`` angles.

    Args:
        angles: Shape (B,), float64, in rad.
        method: ``LIBM``, or ``ROUNDING_TEST`` if the C library is glibc; both give the same bits.
        sines: Shape (B,), float64, overwritten.
        cosines: Shape (B,), float64, overwritten.
        doubts: Scratch space, shape (2, at least B), float64.
        indices: Scratch space, shape (at least B + 1,), int64.
    """
    largest = LARGEST_ANGLE if method == ROUNDING_TEST else -1.0
    # Any value but 0 is a doubt: the residue survives rounding, or the angle is outside the polynomials' range.
    sine_doubts, cosine_doubts = doubts[0], doubts[1]
    for j in range(angles.size):
        x = angles[j]
        correction = sine_correction(x)
        rounded = x + correction
        residue = correction - (rounded - x)
        sines[j] = rounded
        # Zero is excluded: the sine of a negative zero is a negative zero, but the sum is not.
        in_range = 0.0 < abs(x) <= largest
        scale = _SMALL_SINE_SCALE if abs(x) < _SMALL_ANGLE else _SINE_SCALE
        sine_doubts[j] = _rounding_doubt(rounded, residue, _SINE_ERROR * correction, scale) + (0.0 if in_range else 1.0)
    for j in range(angles.size):
        x = angles[j]
        correction = cosine_correction(x)
        rounded = 1.0 + correction
        residue = correction - (rounded - 1.0)
        cosines[j] = rounded
        doubt = _rounding_doubt(rounded, residue, _COSINE_ERROR * correction, _COSINE_SCALE)
        cosine_doubts[j] = doubt + (0.0 if abs(x) <= largest else 1.0)
    for k in range(_doubtful(sine_doubts, angles.size, indices)):
        sines[indices[k]] = libm_sine(angles[indices[k]])
    for k in range(_doubtful(cosine_doubts, angles.size, indices)):
        cosines[indices[k]] = libm_cosine(angles[indices[k]])


@kernel()
def _doubtful(doubts: npt.NDArray[np.float64], count: int, indices: npt.NDArray[np.int64]) -> int:
    """Write the indices of doubts other than 0, without a branch that could be mispredicted; return their number."""
    found = 0
    for j in range(count):
        indices[found] = j
        found += 0 if doubts[j] == 0.0 else 1
    return found
