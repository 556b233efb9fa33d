"""Numbers as people read them. Imports only the standard library."""

from __future__ import annotations

import math

ROUNDING_ERROR = 1e-12
"""Numbers closer to 0 than this are shown as 0: sums of rewards that cancel out, such as 0.1, 0.2 and -0.3."""

_DIGITS = 3
_WIDTH = 11


def format_number(value: float) -> str:
    """Return a mean return, a loss or a similar number in at most 11 characters.

    It has one decimal, and more where it needs them for three significant digits: ``496.9``, ``-1148.7``, ``1.35``,
    ``0.0412``. Only what would be wider is in scientific notation. NaN is a dash.

    Args:
        value: Any number.
    """
    if math.isnan(value):
        return "-"
    if math.isinf(value):
        return str(value)
    if abs(value) < ROUNDING_ERROR:
        return "0.0"
    # In scientific notation, rounding to three digits has already carried: 0.09996 is 1.00e-01.
    exponent = int(f"{value:.{_DIGITS - 1}e}".partition("e")[2])
    text = f"{value:.{max(1, _DIGITS - 1 - exponent)}f}"
    if len(text) > _WIDTH:
        return f"{value:.4g}"
    whole, _, decimals = text.partition(".")
    return f"{whole}.{decimals.rstrip('0') or '0'}"


def format_episode_return(value: float) -> str:
    """Return the return of one episode, such as a lowest or highest one: as a mean, but whole numbers without decimals.

    Args:
        value: Any number.
    """
    text = format_number(value)
    return text.removesuffix(".0") if float(value).is_integer() else text
