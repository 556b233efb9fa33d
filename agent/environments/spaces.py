"""Conversion of observations to vectors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from ..errors import OutsideSpaceError, UnsupportedSpaceError

Observations = npt.NDArray[np.float32]
Space = gymnasium.Space[Any]

SUPPORTED_OBSERVATIONS = (
    "Box of at most two axes, Discrete, MultiBinary, MultiDiscrete, and Tuple and Dict of these are supported"
)
_MAX_AXES = 2
_MUST = (
    "observations must be as the environment gives them, one or a batch, or as gymnasium.spaces.flatten returns them"
)
_SIMPLE = (spaces.Discrete, spaces.MultiBinary, spaces.MultiDiscrete)


def observation_size(space: Space) -> int:
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


def is_flat(space: Space) -> bool:
    """Return whether observations are suitable as vectors, which images are not."""
    if isinstance(space, spaces.Dict):
        return all(map(is_flat, space.spaces.values()))
    if isinstance(space, spaces.Tuple):
        return all(map(is_flat, space.spaces))
    if isinstance(space, spaces.Box):
        return len(space.shape) <= _MAX_AXES
    return isinstance(space, _SIMPLE)


def flattened(space: Space, batch: Any, num_envs: int) -> Observations:
    """Return a batch of observations as new vectors, shape (N, D), float32.

    They equal those of ``gymnasium.spaces.flatten``, which encodes an option that does not exist as another one.

    Args:
        space: Space of one observation.
        batch: N observations, batched as by ``gymnasium.vector.utils.batch_space``.
        num_envs: Number of observations N.

    Raises:
        OutsideSpaceError: If an observation has an option that the space does not contain.
    """
    if isinstance(space, (spaces.Dict, spaces.Tuple)):
        return np.hstack([flattened(part, entry, num_envs) for part, entry in _parts(space, batch)])
    if isinstance(space, spaces.Box):
        return np.array(batch, dtype=np.float32).reshape(num_envs, math.prod(space.shape))
    rows: npt.NDArray[Any] = np.asarray(batch).reshape(num_envs, math.prod(space.shape or ()))
    if isinstance(space, spaces.MultiBinary):
        _assert_inside(space, rows, (rows == 0) | (rows == 1))
        return np.asarray(rows, dtype=np.float32)
    starts, sizes = (np.ravel(bound) for bound in _options_of(space))
    options = rows - starts
    _assert_inside(space, rows, (options >= 0) & (options < sizes) & (options == np.floor(options)))
    one_hot = np.zeros((num_envs, sizes.sum()), dtype=np.float32)
    one_hot[np.arange(num_envs)[:, None], np.cumsum(sizes) - sizes + options.astype(np.int64)] = 1.0
    return one_hot


def flatten_one(space: Space, observation: Any) -> Observations:
    """Return one observation as a vector, shape (D,), float32; see ``flattened``."""
    row: Observations = flattened(space, observation, 1)[0]
    return row


def _parts(space: Any, batch: Any) -> list[tuple[Space, Any]]:
    """Return the parts of a space, and the entry of an observation, or of a batch, for each."""
    if isinstance(space, spaces.Dict):
        return [(part, batch[name]) for name, part in space.spaces.items()]
    return list(zip(space.spaces, batch, strict=True))


def _options_of(space: Space) -> tuple[Any, Any]:
    """Return the first option of each choice, and the number of its options."""
    return (space.start, space.n) if isinstance(space, spaces.Discrete) else (space.start, space.nvec)  # type: ignore[attr-defined]


def _assert_inside(space: Space, rows: npt.NDArray[Any], is_inside: npt.NDArray[np.bool_]) -> None:
    if is_inside.all():
        return
    index = int(np.flatnonzero(~is_inside.all(axis=1))[0])
    raise OutsideSpaceError(index, rows[index].reshape(space.shape or ()).tolist(), space)


def checked_observations(space: Space, observations: Any) -> Observations:
    """Return observations as vectors, shape (D,) for one or (B, D) for several, float32.

    Args:
        space: Space of one observation.
        observations: One observation as the environment gives it, or several, batched as by a vector environment; or
            numbers of shape (D,) or (B, D), flattened as by ``gymnasium.spaces.flatten``. Of a ``Discrete`` space,
            integers of shape (B,) are B observations; a flattened one must be of floats.

    Raises:
        TypeError: If the observations are not numbers.
        ValueError: If the observations have another shape, lie outside of the space, or are not finite in single
            precision.
    """
    size = spaces.flatdim(space)
    shape = _batch_shape(space, observations)
    with np.errstate(over="ignore", under="ignore"):
        if shape is not None:
            rows = flattened(space, observations, *shape or (1,)).reshape(*shape, size)
        else:
            rows = _as_array(observations).astype(np.float32)
    if shape is None and (rows.ndim not in (1, 2) or rows.shape[-1] != size):
        own = space.shape or ()
        shapes = [(size,), ("B", size), *([own, ("B", *own)] if len(own) > 1 else [])]
        raise ValueError(
            f"{_MUST}: shape {' or '.join(map(str, shapes))}, got {_described(observations)}.".replace("'B'", "B")
        )
    if not np.isfinite(rows).all():
        raise ValueError("observations must be finite in single precision.")
    return rows


def _batch_shape(space: Space, observations: Any) -> tuple[int, ...] | None:
    """Return () for one observation of a space, (B,) for a batch of them; None if they are neither."""
    if isinstance(space, (spaces.Dict, spaces.Tuple)):
        # A list would be taken for a batch of observations as well.
        kind = Mapping if isinstance(space, spaces.Dict) else tuple
        if not isinstance(observations, kind) or len(observations) != len(space.spaces):
            return None
        try:
            shapes = {_batch_shape(part, entry) for part, entry in _parts(space, observations)}
        except KeyError:
            return None
        return shapes.pop() if len(shapes) == 1 else None
    array = _as_array(observations)
    if isinstance(space, (spaces.Discrete, spaces.MultiDiscrete)) and array.dtype.kind not in "iu":
        return None
    shape = space.shape or ()
    if array.shape == shape:
        return ()
    return array.shape[:1] if array.ndim == len(shape) + 1 and array.shape[1:] == shape else None


def _as_array(observations: Any) -> npt.NDArray[Any]:
    """Return numbers as an array.

    Raises:
        TypeError: If they are not numbers.
        ValueError: If they are rows of several lengths.
    """
    try:
        array = np.asarray(observations)
    except ValueError:
        raise ValueError(f"{_MUST}, got rows of several lengths.") from None
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{_MUST}, got {_described(observations)}.")
    return array


def _described(observations: Any) -> str:
    array = np.asarray(observations)
    return f"shape {array.shape}" if array.dtype.kind in "biuf" else f"an object of {type(observations).__name__}"
