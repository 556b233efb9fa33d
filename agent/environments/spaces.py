"""Conversion of observations to vectors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from gymnasium.vector.utils import batch_space, iterate

from ..errors import UnsupportedSpaceError

Observations = npt.NDArray[np.float32]
Flatten = Callable[[Any], Observations]

SUPPORTED_OBSERVATIONS = (
    "Box of at most two axes, Discrete, MultiBinary, MultiDiscrete, and Tuple and Dict of these are supported"
)
_MAX_AXES = 2
_SIMPLE = (spaces.Discrete, spaces.MultiBinary, spaces.MultiDiscrete)


def observation_size(space: gymnasium.Space[Any]) -> int:
    """Return the length of the vector to which an observation is flattened (``gymnasium.spaces.flatten_space``).

    Rollouts flatten images, too.

    Raises:
        UnsupportedSpaceError: If the space is not supported, or its vectors have no entries.
    """
    # A custom network receives images in their own shape.
    if not isinstance(space, spaces.Box) and not is_flat(space):
        raise UnsupportedSpaceError(f"the observation space {space} is not supported: {SUPPORTED_OBSERVATIONS}.")
    size = spaces.flatdim(space)
    if size == 0:
        raise UnsupportedSpaceError(f"the observation space {space} has no entries to learn from.")
    return size


def is_flat(space: gymnasium.Space[Any]) -> bool:
    """Return whether observations are suitable as vectors, which images are not."""
    if isinstance(space, spaces.Dict):
        return all(map(is_flat, space.spaces.values()))
    if isinstance(space, spaces.Tuple):
        return all(map(is_flat, space.spaces))
    if isinstance(space, spaces.Box):
        return len(space.shape) <= _MAX_AXES
    return isinstance(space, _SIMPLE)


def flattener(space: gymnasium.Space[Any], num_envs: int) -> Flatten:
    """Return a function from a batch of observations to new vectors, shape (N, D), float32.

    Args:
        space: Space of one observation.
        num_envs: Number of environments N.
    """
    if isinstance(space, spaces.Box):
        size = observation_size(space)
        return lambda batch: np.array(batch, dtype=np.float32).reshape(-1, size)

    # Not every vector environment declares its batched space.
    batches = batch_space(space, num_envs)

    def flatten(batch: Any) -> Observations:
        return np.array([spaces.flatten(space, one) for one in iterate(batches, batch)], dtype=np.float32)

    return flatten


def flatten_one(space: gymnasium.Space[Any], observation: Any) -> Observations:
    """Return one observation as a vector, shape (D,), float32."""
    return np.array(spaces.flatten(space, observation), dtype=np.float32)


def checked_observations(observations: npt.ArrayLike, size: int, shape: tuple[int, ...] = ()) -> Observations:
    """Return observations as float32, shape (D,) or (B, D).

    Args:
        observations: Numbers of this shape, or with the shape of the environment's observations in place of D.
        size: Length D of an observation as a vector.
        shape: Shape of the environment's observations, if they have one.

    Raises:
        TypeError: If the observations are not numbers.
        ValueError: If the observations have another shape, or are not finite in single precision.
    """
    shapes = f"shape ({size},) or (B, {size})"
    if len(shape) > 1:
        shapes += f", or {shape} or {('B', *shape)}".replace("'", "")
    try:
        given = np.asarray(observations)
    except ValueError:
        raise ValueError(f"observations must have {shapes}, got rows of several lengths.") from None
    if given.dtype.kind not in "iuf":
        raise TypeError(f"observations must be numbers, got an array of {given.dtype}.")
    is_flat_already = given.ndim in (1, 2) and given.shape[-1] == size
    if len(shape) > 1 and not is_flat_already and shape in (given.shape, given.shape[1:]):
        given = given.reshape(*given.shape[: given.ndim - len(shape)], size)
    if given.ndim not in (1, 2) or given.shape[-1] != size:
        raise ValueError(f"observations must have {shapes}, got {given.shape}.")
    with np.errstate(over="ignore", under="ignore"):
        rows = given.astype(np.float32)
    if not np.isfinite(rows).all():
        raise ValueError("observations must be finite in single precision.")
    return rows
