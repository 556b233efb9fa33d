"""Checks of arguments; an error is one sentence that names the argument, the value and what is allowed."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium.envs.classic_control.utils import maybe_parse_reset_bounds

_INT64 = np.dtype(np.int64)
# No array or counter can hold a larger count.
LARGEST_COUNT = 2**63 - 1

Seeds = int | Sequence[int | None] | npt.NDArray[np.integer] | None


def checked_integer(name: str, value: object, *, minimum: int, maximum: int | None = LARGEST_COUNT) -> int:
    """Return ``value`` as an int; NumPy's integers are accepted, booleans are not.

    Args:
        name: Name of the argument, for the message.
        value: Value of the argument.
        minimum: Smallest value allowed.
        maximum: Largest value allowed, by default the largest signed 64-bit integer; None for no limit.

    Raises:
        TypeError: If the value is not an integer.
        ValueError: If the value is out of range.
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
        name: Name of the parameter, for the message.
        value: A number, or a sequence of numbers.
        positive: Whether it must be greater than 0.

    Raises:
        TypeError: If the value is neither a number nor a sequence of numbers.
        ValueError: If the value is not finite, has more than one dimension, is empty, or is not greater than 0 although
            it must be.
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
    """Return actions as a C-contiguous int64 array of shape (N,); the kernel checks that each is 0 or 1.

    Raises:
        TypeError: If they are not integers.
        ValueError: If they have another shape.
    """
    # A fast path for what nearly every caller passes; it takes a quarter of a microsecond.
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
    """Return one seed for each environment, None to continue its stream; a range if seeds are consecutive.

    Args:
        seed: An integer s for s, s + 1, ...; a sequence of N integers or Nones; or None for all.
        num_envs: Number of environments N.

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
    """Return the bounds of the initial state variables in ``reset(options=...)``, parsed as in Gymnasium.

    Args:
        options: A dictionary that may hold ``"low"`` and ``"high"``, or None.
        default_low: Lower bound if the options have none.
        default_high: Upper bound if the options have none.

    Raises:
        TypeError: If the options are neither a dictionary nor None.
        ValueError: If a bound is not a finite number, or low is greater than high.
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
    """Return the mask of environments selected by ``reset(options=...)``, shape (N,), bool.

    Args:
        options: A dictionary that may hold ``"reset_mask"``, or None.
        everywhere: The mask of all environments, shape (N,), bool, returned itself if the options have no mask.

    Raises:
        TypeError: If the mask is not a NumPy array of bool.
        ValueError: If its shape is not (N,) or it selects no environment.
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
    """Return a physical state as a new C-contiguous float64 array.

    Raises:
        TypeError: If it does not consist of numbers.
        ValueError: If it has another shape or a number is not finite.
    """
    array = np.asarray(value)
    if array.dtype.kind not in "iuf":
        raise TypeError(f"state must consist of numbers, got an array of {array.dtype}.")
    if array.shape != shape:
        raise ValueError(f"state must have shape {shape}, got {array.shape}.")
    if not np.isfinite(array).all():
        raise ValueError("state must be finite, got a value that is infinite or not a number.")
    return array.astype(np.float64, order="C")
