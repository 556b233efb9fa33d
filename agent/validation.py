"""Checks of settings, without NumPy: one clear sentence that names the argument, the value and what is allowed."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable
from typing import Any

# Of NumPy's kinds: bools, integers and floats, but not times.
_NUMBERS = frozenset("biuf")
# Counts beyond it fit no array and no counter.
LARGEST_COUNT = 2**63 - 1


def plain_number(value: object) -> Any:
    """Return a number of NumPy, or a bool, as the Python number it is; anything else as it is."""
    kind = getattr(getattr(value, "dtype", None), "kind", "")
    if kind not in _NUMBERS or getattr(value, "ndim", None) != 0:
        return value
    number: Any = value.item()  # type: ignore[attr-defined]
    # Numbers of more than double precision stay NumPy's.
    return number if isinstance(number, (bool, int, float)) else float(number)


def checked_integer(name: str, value: object, *, minimum: int, maximum: int | None = LARGEST_COUNT) -> int:
    """Return ``value`` as an int; NumPy's integers count, booleans do not.

    Args:
        name: What the argument is called, for the message.
        value: What was passed.
        minimum: Least value allowed.
        maximum: Greatest value allowed, or None; where nothing is said, what 64 bits hold.

    Raises:
        TypeError: If it is not an integer.
        ValueError: If it is out of range.
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
    """Return ``value`` as a float; NumPy's numbers count, booleans do not.

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
    """Return the sentence about a name that does not exist, with the nearest ones that do.

    Args:
        kind: What it is the name of, such as ``setting``.
        name: The name.
        names: Those that exist.
    """
    known = list(names)
    if nearest := difflib.get_close_matches(str(name), known, n=3):
        return f"unknown {kind} {name!r}. Did you mean {' or '.join(map(repr, nearest))}?"
    return f"unknown {kind} {name!r}; there are {', '.join(known)}."
