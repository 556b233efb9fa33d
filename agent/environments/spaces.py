"""Observations as vectors, and the actions an agent can choose from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from gymnasium.vector.utils import batch_space, iterate

from ..errors import EnvironmentUseError

Observations = npt.NDArray[np.float32]
Flatten = Callable[[Any], Observations]

SUPPORTED_OBSERVATIONS = (
    "Box of at most two axes, Discrete, MultiBinary, MultiDiscrete, and Tuple and Dict of these are supported"
)
SUPPORTED_ACTIONS = "Discrete, MultiDiscrete and MultiBinary are supported"
_MOST_AXES = 2
_SIMPLE = (spaces.Discrete, spaces.MultiBinary, spaces.MultiDiscrete)


class UnsupportedSpaceError(EnvironmentUseError):
    """Raised where an agent cannot learn from such observations, or choose such actions."""


@dataclass(frozen=True)
class ActionHead:
    """What the actor's outputs mean: logits of one choice or, one after the other, of several that make up an action.

    Attributes:
        kind: ``"categorical"``: the outputs are logits.
        sizes: How many outputs each of K choices has.
        starts: The environment's name of the first option of each.
        shape: Of one of the environment's actions; ``()`` for a single choice, as of ``Discrete``.
    """

    kind: Literal["categorical"]
    sizes: tuple[int, ...]
    starts: tuple[int, ...]
    shape: tuple[int, ...] = ()

    @property
    def num_outputs(self) -> int:
        """Outputs of the actor."""
        return sum(self.sizes)

    @property
    def action_shape(self) -> tuple[int, ...]:
        """Shape of one action as rollouts hold it: ``()`` for a single choice, else ``(K,)``."""
        return (len(self.sizes),) if self.shape else ()

    def in_environment(self, actions: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
        """Return actions as the environment names them.

        Args:
            actions: Options numbered from 0, shape (N, K).

        Returns:
            Shape (N, *shape), int64.
        """
        names = actions.astype(np.int64) + np.array(self.starts, dtype=np.int64)
        return names.reshape(-1, *self.shape)


def action_head(space: gymnasium.Space[Any]) -> ActionHead:
    """Return the head for an action space.

    Raises:
        UnsupportedSpaceError: If it is none of those supported, or leaves nothing to choose.
    """
    if isinstance(space, spaces.Discrete):
        return ActionHead("categorical", (int(space.n),), (int(space.start),))
    if isinstance(space, spaces.MultiDiscrete):
        sizes, starts, shape = space.nvec, space.start, space.nvec.shape
    elif isinstance(space, spaces.MultiBinary):
        shape = space.shape
        sizes, starts = np.full(shape, 2), np.zeros(shape, dtype=np.int64)
    else:
        raise UnsupportedSpaceError(f"the action space {space} is not supported: {SUPPORTED_ACTIONS}.")
    if not sizes.size:
        raise UnsupportedSpaceError(f"the action space {space} leaves nothing to choose.")
    return ActionHead("categorical", tuple(sizes.ravel().tolist()), tuple(starts.ravel().tolist()), tuple(shape))


def observation_size(space: gymnasium.Space[Any]) -> int:
    """Return the length of the vector that an observation is flattened to (``gymnasium.spaces.flatten_space``).

    Raises:
        UnsupportedSpaceError: If the space is none of those supported, or its vectors have no entries.
    """
    if not _is_supported(space):
        raise UnsupportedSpaceError(f"the observation space {space} is not supported: {SUPPORTED_OBSERVATIONS}.")
    size = spaces.flatdim(space)
    if size == 0:
        raise UnsupportedSpaceError(f"the observation space {space} has no entries to learn from.")
    return size


def _is_supported(space: gymnasium.Space[Any]) -> bool:
    if isinstance(space, spaces.Dict):
        return all(map(_is_supported, space.spaces.values()))
    if isinstance(space, spaces.Tuple):
        return all(map(_is_supported, space.spaces))
    if isinstance(space, spaces.Box):
        return len(space.shape) <= _MOST_AXES
    return isinstance(space, _SIMPLE)


def flattener(space: gymnasium.Space[Any], num_envs: int) -> Flatten:
    """Return the function that makes vectors of a batch of observations, float32 of shape (N, D), in fresh arrays.

    Args:
        space: Of one observation.
        num_envs: N.
    """
    if isinstance(space, spaces.Box):
        size = observation_size(space)
        return lambda batch: np.array(batch, dtype=np.float32).reshape(-1, size)

    # Not every vector environment says what its batches are.
    batches = batch_space(space, num_envs)

    def flatten(batch: Any) -> Observations:
        return np.array([spaces.flatten(space, one) for one in iterate(batches, batch)], dtype=np.float32)

    return flatten


def flatten_one(space: gymnasium.Space[Any], observation: Any) -> Observations:
    """Return one observation as a vector, float32 of shape (D,)."""
    return np.array(spaces.flatten(space, observation), dtype=np.float32)


def checked_observations(observations: npt.ArrayLike, size: int) -> Observations:
    """Return observations as float32, shape (D,) or (B, D).

    Args:
        observations: Numbers of that shape.
        size: D.

    Raises:
        TypeError: If they are not numbers.
        ValueError: If they have another shape, or are not finite in single precision.
    """
    shapes = f"shape ({size},) or (B, {size})"
    try:
        given = np.asarray(observations)
    except ValueError:
        raise ValueError(f"observations must have {shapes}, got rows of several lengths.") from None
    if given.dtype.kind not in "iuf":
        raise TypeError(f"observations must be numbers, got an array of {given.dtype}.")
    if given.ndim not in (1, 2) or given.shape[-1] != size:
        raise ValueError(f"observations must have {shapes}, got {given.shape}.")
    with np.errstate(over="ignore", under="ignore"):
        rows = given.astype(np.float32)
    if not np.isfinite(rows).all():
        raise ValueError("observations must be finite in single precision.")
    return rows
