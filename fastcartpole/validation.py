"""Checks of the environment's arguments: one clear sentence that names the argument, the value and what is allowed."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium.envs.classic_control.utils import maybe_parse_reset_bounds

_INT64 = np.dtype(np.int64)
# Counts beyond it fit no array and no counter.
LARGEST_COUNT = 2**63 - 1

Seeds = int | Sequence[int | None] | npt.NDArray[np.integer] | None


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
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{name} must be an integer of at least {minimum}, got {value!r}.") from None
    if number < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {number}.")
    if maximum is not None and number > maximum:
        raise ValueError(f"{name} must be at most {maximum}, got a number of {number.bit_length()} bits.")
    return number


def checked_choice(name: str, value: object, choices: Sequence[str]) -> str:
    """Return ``value`` if it is one of the strings ``choices``.

    Raises:
        ValueError: If it is not.
    """
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}.")
    return value


def checked_parameter(name: str, value: object, *, positive: bool) -> float | npt.NDArray[np.float64]:
    """Return a physical parameter as a float, or as a read-only float64 array of shape (N,).

    Args:
        name: What the parameter is called, for the message.
        value: A number, or a sequence of numbers.
        positive: Whether it must be greater than 0.

    Raises:
        TypeError: If it is neither a number nor a sequence of numbers.
        ValueError: If it is not finite, not of one dimension, empty, or not greater than 0.
    """
    try:
        array = np.array(value)
        if array.dtype.kind not in "iuf":
            raise TypeError
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number or a sequence of numbers, got {value!r}.") from None
    if array.ndim > 1 or array.size == 0:
        raise ValueError(f"{name} must be a number or have shape (num_envs,), got shape {array.shape}.")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, got {value}.")
    if positive and not (array > 0).all():
        raise ValueError(f"{name} must be greater than 0, got {value}.")
    if array.ndim == 0:
        return float(array)
    array = array.astype(np.float64)
    array.flags.writeable = False
    return array


def checked_actions(actions: npt.ArrayLike, shape: tuple[int, ...]) -> npt.NDArray[np.int64]:
    """Return actions as a C-contiguous int64 array of shape (N,); whether each is 0 or 1 is left to the kernel.

    Raises:
        TypeError: If they are not integers.
        ValueError: If the shape is another.
    """
    # What nearly every caller hands over, looked at in a quarter of a microsecond.
    if (
        type(actions) is np.ndarray
        and actions.dtype is _INT64
        and actions.shape == shape
        and actions.flags.c_contiguous
    ):
        return actions
    array = np.asarray(actions)
    if array.dtype.kind not in "iu":
        raise TypeError(f"actions must be integers 0 or 1, got an array of {array.dtype}.")
    if array.shape != shape:
        raise ValueError(f"actions must have shape {shape}, got {array.shape}.")
    if array.dtype != _INT64 or not array.flags.c_contiguous:
        return np.ascontiguousarray(array, dtype=_INT64)
    return array


def checked_seeds(seed: Seeds, num_envs: int) -> Sequence[int | None]:
    """Return one seed for each environment, None where its stream is to go on; a range where they are consecutive.

    Args:
        seed: An integer s for s, s + 1, ...; a sequence of N integers or None; or None for all.
        num_envs: N.

    Raises:
        TypeError: If a seed is not an integer.
        ValueError: If a seed is negative or the length is not N.
    """
    if seed is None:
        return [None] * num_envs
    plain = seed.tolist() if isinstance(seed, np.ndarray) else seed
    if isinstance(plain, (list, tuple)):
        if len(plain) != num_envs:
            raise ValueError(f"seed must have one entry for each of the {num_envs} environments, got {len(plain)}.")
        return [None if entry is None else checked_integer("seed", entry, minimum=0, maximum=None) for entry in plain]
    first = checked_integer("seed", plain, minimum=0, maximum=None)
    return range(first, first + num_envs)


def checked_reset_options(options: object, default_low: float, default_high: float) -> tuple[float, float]:
    """Return the bounds of the initial state variables that ``reset(options=...)`` asks for, as Gymnasium reads them.

    Args:
        options: A dictionary that may hold ``"low"`` and ``"high"``, or None.
        default_low: Where it does not say.
        default_high: Likewise.

    Raises:
        TypeError: If the options are something else.
        ValueError: If a bound is no finite number, or low is greater than high.
    """
    if options is None:
        return default_low, default_high
    if not isinstance(options, dict):
        raise TypeError(f"options must be a dictionary or None, got {options!r}.")
    low, high = maybe_parse_reset_bounds(options, default_low, default_high)
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ValueError(f"options['low'] and options['high'] must be finite, got {low} and {high}.")
    return low, high


def checked_reset_mask(options: dict[str, Any] | None, everywhere: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return which environments ``reset(options=...)`` asks for, shape (N,), bool.

    Args:
        options: A dictionary that may hold ``"reset_mask"``, or None.
        everywhere: The mask of all environments, shape (N,), which is returned itself where the options do not say.

    Raises:
        TypeError: If the mask is not a NumPy array of bool.
        ValueError: If its shape is not (N,) or it chooses no environment.
    """
    if options is None or "reset_mask" not in options:
        return everywhere
    mask = options["reset_mask"]
    if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_:
        raise TypeError(f"options['reset_mask'] must be a NumPy array of bool, got {mask!r}.")
    if mask.shape != everywhere.shape:
        raise ValueError(f"options['reset_mask'] must have shape {everywhere.shape}, got {mask.shape}.")
    if not mask.any():
        raise ValueError("options['reset_mask'] must choose at least one environment, got all False.")
    return np.ascontiguousarray(mask)


def checked_state(value: npt.ArrayLike, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """Return a physical state as a C-contiguous float64 array of its own.

    Raises:
        TypeError: If it is not made of numbers.
        ValueError: If its shape is another or a number is not finite.
    """
    array = np.asarray(value)
    if array.dtype.kind not in "iuf":
        raise TypeError(f"state must be made of numbers, got an array of {array.dtype}.")
    if array.shape != shape:
        raise ValueError(f"state must have shape {shape}, got {array.shape}.")
    if not np.isfinite(array).all():
        raise ValueError("state must be finite, got a value that is infinite or not a number.")
    return array.astype(np.float64, order="C")
