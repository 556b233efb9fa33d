"""Action heads: how actions are chosen from an actor's outputs and converted for the environment."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from ..errors import DivergenceError, UnsupportedSpaceError
from ..kernels.sampling import chosen_actions, normal_actions

Outputs = npt.NDArray[np.float32]
Actions = npt.NDArray[Any]

SUPPORTED_ACTIONS = "Discrete, MultiDiscrete, MultiBinary and Box are supported"


@dataclass(frozen=True)
class CategoricalHead:
    """Head for discrete actions; outputs are the concatenated logits of the choices that make up an action.

    Attributes:
        sizes: Number of logits of each of K choices.
        starts: The environment's number of the first option of each choice.
        shape: Shape of the environment's actions; ``()`` for a single choice, as with ``Discrete``.
        dtype: Name of their dtype; vector environments may declare another one than single environments.
    """

    sizes: tuple[int, ...]
    starts: tuple[int, ...]
    shape: tuple[int, ...] = ()
    dtype: str = field(default="int64", compare=False)

    is_continuous: ClassVar[bool] = False
    output_names: ClassVar[tuple[str, ...]] = ()
    stored_dtype: ClassVar[type] = np.int32
    acting_dtype: ClassVar[type] = np.int64

    @property
    def num_outputs(self) -> int:
        """Number of outputs of the actor for one observation."""
        return sum(self.sizes)

    @property
    def num_entries(self) -> int:
        """Number of entries K of an action."""
        return len(self.sizes)

    @property
    def action_shape(self) -> tuple[int, ...]:
        """Shape of one action in a rollout: ``()`` for a single choice, otherwise ``(K,)``."""
        return (len(self.sizes),) if self.shape else ()

    @property
    def description(self) -> dict[str, Any]:
        """The properties on which an actor's shape depends, for JSON."""
        return {"action_sizes": list(self.sizes)}

    def chosen(self, outputs: Outputs, generator: np.random.Generator | None) -> Actions:
        """Return the options that a policy chooses, numbered from 0, shape (B, K), int64.

        Args:
            outputs: Logits from the actor, shape (B, A).
            generator: Source of the random numbers for sampling; None takes the most probable options.
        """
        return chosen_actions(outputs, self.sizes, generator)

    def in_environment(self, actions: Actions) -> Actions:
        """Return actions with the environment's numbering and shape.

        Args:
            actions: Options numbered from 0, shape (N, K).

        Returns:
            Shape (N, *shape), with the environment's dtype.
        """
        names = actions.astype(np.int64) + np.array(self.starts, dtype=np.int64)
        return names.astype(self.dtype).reshape(-1, *self.shape)


@dataclass(frozen=True)
class GaussianHead:
    """Head for continuous actions; outputs are the means and log standard deviations of normal distributions.

    The entries of an action are independent.

    Attributes:
        low: Lowest value that the environment accepts for each of K entries; minus infinity for none.
        high: Highest value that the environment accepts for each of K entries; infinity for none.
        shape: Shape of the environment's actions.
        dtype: Name of their dtype.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    shape: tuple[int, ...]
    dtype: str

    is_continuous: ClassVar[bool] = True
    output_names: ClassVar[tuple[str, ...]] = ("mean", "log_std")
    stored_dtype: ClassVar[type] = np.float32
    acting_dtype: ClassVar[type] = np.float32

    @property
    def num_outputs(self) -> int:
        """Number of outputs of the actor for one observation, means and log standard deviations."""
        return 2 * len(self.low)

    @property
    def num_entries(self) -> int:
        """Number of entries K of an action."""
        return len(self.low)

    @property
    def action_shape(self) -> tuple[int, ...]:
        """Shape of one action in a rollout."""
        return (len(self.low),)

    @property
    def description(self) -> dict[str, Any]:
        """The properties on which an actor's shape depends, for JSON."""
        return {"continuous_actions": len(self.low)}

    def chosen(self, outputs: Outputs, generator: np.random.Generator | None) -> Actions:
        """Return the actions that a policy chooses, before clipping, shape (B, K), float32.

        Args:
            outputs: Outputs of the actor, shape (B, 2 K).
            generator: Source of the random numbers for sampling; None takes the means.
        """
        return normal_actions(outputs, generator)

    def in_environment(self, actions: Actions) -> Actions:
        """Return actions clipped to the environment's bounds and, if its actions are integers, rounded.

        Args:
            actions: Shape (N, K).

        Returns:
            Shape (N, *shape), with the environment's dtype.

        Raises:
            DivergenceError: If an action is infinite or not a number.
        """
        if not np.isfinite(actions).all():
            raise DivergenceError("The policy has diverged: its actions are infinite or not a number.")
        low, high = self._bounds
        # Clipped before they are cast: a small dtype may not hold what is out of bounds.
        clipped = actions.clip(low, high)
        whole = clipped if low.dtype == self.dtype else np.rint(clipped)
        return whole.astype(self.dtype).reshape(-1, *self.shape)

    @cached_property
    def _bounds(self) -> tuple[Actions, Actions]:
        """The bounds as arrays, shape (K,), with the environment's dtype if it is floating, otherwise float64."""
        if np.issubdtype(self.dtype, np.floating):
            limits = np.finfo(self.dtype)
            low, high = (np.clip(bound, limits.min, limits.max) for bound in (self.low, self.high))
            return low.astype(self.dtype), high.astype(self.dtype)
        if np.dtype(self.dtype).itemsize < 8:
            return np.array(self.low), np.array(self.high)
        # The largest 64-bit integer is not representable as float64; use the next float64 below it.
        return np.array(self.low), np.minimum(self.high, np.nextafter(float(np.iinfo(self.dtype).max), 0.0))


ActionHead = CategoricalHead | GaussianHead


def action_head(space: gymnasium.Space[Any]) -> ActionHead:
    """Return the head for an action space.

    Raises:
        UnsupportedSpaceError: If the space is not supported, or leaves nothing to choose.
    """
    if isinstance(space, spaces.Discrete):
        return CategoricalHead((int(space.n),), (int(space.start),), (), np.dtype(space.dtype).name)
    if isinstance(space, spaces.Box):
        if not space.low.size:
            raise UnsupportedSpaceError(f"the action space {space} leaves nothing to choose.")
        low, high = (tuple(bound.astype(np.float64).ravel().tolist()) for bound in (space.low, space.high))
        return GaussianHead(low, high, space.shape, np.dtype(space.dtype).name)
    if isinstance(space, spaces.MultiDiscrete):
        sizes, starts, shape = space.nvec, space.start, space.nvec.shape
    elif isinstance(space, spaces.MultiBinary):
        shape = space.shape
        sizes, starts = np.full(shape, 2), np.zeros(shape, dtype=np.int64)
    else:
        raise UnsupportedSpaceError(f"the action space {space} is not supported: {SUPPORTED_ACTIONS}.")
    if not sizes.size:
        raise UnsupportedSpaceError(f"the action space {space} leaves nothing to choose.")
    dtype = np.dtype(space.dtype).name
    return CategoricalHead(tuple(sizes.ravel().tolist()), tuple(starts.ravel().tolist()), tuple(shape), dtype)
