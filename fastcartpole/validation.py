"""Checks of arguments: one clear sentence that names the argument, the value and what is allowed."""

from __future__ import annotations

import math
import operator


def checked_integer(name: str, value: object, *, minimum: int) -> int:
    """Return ``value`` as an int; NumPy's integers count, booleans do not.

    Args:
        name: What the argument is called, for the message.
        value: What was passed.
        minimum: Least value allowed.

    Raises:
        TypeError: If it is not an integer.
        ValueError: If it is less than ``minimum``.
    """
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{name} must be an integer of at least {minimum}, got {value!r}.") from None
    if number < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {number}.")
    return number


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
    if not math.isfinite(value):
        raise ValueError(f"{name} must be finite, got {value}.")
    if above is not None and not value > above:
        raise ValueError(f"{name} must be greater than {above:g}, got {value}.")
    if minimum is not None and value < minimum:
        raise ValueError(f"{name} must be at least {minimum:g}, got {value}.")
    if maximum is not None and value > maximum:
        raise ValueError(f"{name} must be at most {maximum:g}, got {value}.")
    return float(value)
