"""Checks of settings, without NumPy: one clear sentence that names the argument, the value and what is allowed."""

from __future__ import annotations

import math


def checked_integer(name: str, value: object, *, minimum: int) -> int:
    """Return ``value`` if it is an int.

    Args:
        name: What the argument is called, for the message.
        value: What was passed.
        minimum: Least value allowed.

    Raises:
        TypeError: If it is not an integer.
        ValueError: If it is less than ``minimum``.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an integer of at least {minimum}, got {value!r}.")
    if value < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {value}.")
    return value


def checked_number(
    name: str, value: object, *, above: float | None = None, minimum: float | None = None, maximum: float | None = None
) -> float:
    """Return ``value`` as a float.

    Args:
        name: What the argument is called, for the message.
        value: What was passed.
        above: Where given, the value must be greater.
        minimum: Where given, the value must be at least this.
        maximum: Where given, the value must be at most this.

    Raises:
        TypeError: If it is not a real number.
        ValueError: If it is not finite or out of range.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number, got {value!r}.")
    try:
        is_finite = math.isfinite(value)
    except OverflowError:
        is_finite = False
    if not is_finite:
        raise ValueError(f"{name} must be finite, got {value}.")
    if above is not None and not value > above:
        raise ValueError(f"{name} must be greater than {above:g}, got {value}.")
    if minimum is not None and value < minimum:
        raise ValueError(f"{name} must be at least {minimum:g}, got {value}.")
    if maximum is not None and value > maximum:
        raise ValueError(f"{name} must be at most {maximum:g}, got {value}.")
    return float(value)
