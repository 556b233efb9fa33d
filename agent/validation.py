"""Checks of arguments, without NumPy. Every message names the argument, its value and what is allowed."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable
from typing import Any

# NumPy's dtype kinds of booleans, integers and floats.
_NUMBERS = frozenset("biuf")
# The largest 64-bit integer; no array or counter can be larger.
LARGEST_COUNT = 2**63 - 1


def plain_number(value: object) -> Any:
    """Convert a NumPy number or boolean to Python's; return anything else unchanged."""
    kind = getattr(getattr(value, "dtype", None), "kind", "")
    if kind not in _NUMBERS or getattr(value, "ndim", None) != 0:
        return value
    number: Any = value.item()  # type: ignore[attr-defined]
    # item() returns extended-precision floats unchanged.
    return number if isinstance(number, (bool, int, float)) else float(number)


def checked_integer(name: str, value: object, *, minimum: int, maximum: int | None = LARGEST_COUNT) -> int:
    """Return ``value`` as an int; NumPy integers are accepted, booleans are not.

    Args:
        name: Name of the argument, for the message.
        value: The value to check.
        minimum: Smallest value allowed.
        maximum: Largest value allowed, by default the largest 64-bit integer; None for no limit.

    Raises:
        TypeError: If the value is not an integer.
        ValueError: If the value is out of range.
    """
    number = plain_number(value)
    if isinstance(number, bool) or not isinstance(number, int):
        raise TypeError(f"{name} must be an integer of at least {minimum}, got {value!r}.")
    if number < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {number}.")
    if maximum is not None and number > maximum:
        raise ValueError(f"{name} must be at most {maximum}, got a number of {number.bit_length()} bits.")
    return number


def checked_number(
    name: str, value: object, *, above: float | None = None, minimum: float | None = None, maximum: float | None = None
) -> float:
    """Return ``value`` as a float; NumPy numbers are accepted, booleans are not.

    Args:
        name: Name of the argument, for the message.
        value: The value to check.
        above: If given, the value must be greater than this.
        minimum: If given, the value must be at least this.
        maximum: If given, the value must be at most this.

    Raises:
        TypeError: If the value is not a real number.
        ValueError: If the value is not finite or out of range.
    """
    number = plain_number(value)
    if isinstance(number, bool) or not isinstance(number, (int, float)):
        raise TypeError(f"{name} must be a number, got {value!r}.")
    try:
        is_finite = math.isfinite(number)
    except OverflowError:
        is_finite = False
    if not is_finite:
        raise ValueError(f"{name} must be finite, got {number}.")
    if above is not None and not number > above:
        raise ValueError(f"{name} must be greater than {above:g}, got {number}.")
    if minimum is not None and number < minimum:
        raise ValueError(f"{name} must be at least {minimum:g}, got {number}.")
    if maximum is not None and number > maximum:
        raise ValueError(f"{name} must be at most {maximum:g}, got {number}.")
    return float(number)


def unknown_name(kind: str, name: object, names: Iterable[str]) -> str:
    """Return an error message about an unknown name that suggests similar ones.

    Args:
        kind: What the name stands for, such as ``setting``.
        name: The unknown name.
        names: The names that exist.
    """
    known = list(names)
    if nearest := difflib.get_close_matches(str(name), known, n=3):
        return f"unknown {kind} {name!r}. Did you mean {' or '.join(map(repr, nearest))}?"
    return f"unknown {kind} {name!r}; there are {', '.join(known)}."
