"""Vector environments of any kind behind one face: what follows a step does not depend on the mode of autoreset."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv

from ..environments.heads import action_head
from ..environments.spaces import flatten_one, flattener
from ..errors import EnvironmentUseError, of_the_environment

Vector = VectorEnv[Any, Any, Any]
Flags = npt.NDArray[np.bool_]

# Seeds of environments: some simulators take signed integers of 32 bits.
_SEED_BITS = 31


class AutoresetModeError(EnvironmentUseError):
    """Raised where it is not known how a vector environment begins new episodes."""


class Step(NamedTuple):
    """What one step of N environments came to.

    Attributes:
        rewards: Shape (N,), float64; 0 where the action was ignored.
        terminated: Shape (N,), bool.
        truncated: Shape (N,), bool.
        final_observations: By index, the last observations of the episodes that were truncated and did not terminate.
    """

    rewards: npt.NDArray[np.float64]
    terminated: Flags
    truncated: Flags
    final_observations: dict[int, npt.NDArray[np.float32]]


class Stepper:
    """Steps a vector environment and begins new episodes where one has ended.

    Attributes:
        environments: The vector environment.
        observations: What the policy sees next, as vectors, shape (N, D), float32.
        ignored: Where the next action will be ignored, because the environment begins a new episode instead, shape
            (N,), bool.
        ignores_actions: Whether that may happen.
    """

    def __init__(self, environments: Vector, autoreset_mode: AutoresetMode | str | None = None) -> None:
        """Look at the environments; they are not reset yet.

        Args:
            environments: The vector environment.
            autoreset_mode: How it begins new episodes; None for what it says itself.

        Raises:
            AutoresetModeError: If it is not known.
        """
        self.environments = environments
        self._mode = checked_mode(environments, autoreset_mode)
        self._space = environments.single_observation_space
        self._flatten = flattener(self._space, environments.num_envs)
        self._head = action_head(environments.single_action_space)
        self._action_dtype = environments.single_action_space.dtype or np.int64
        self.ignores_actions = self._mode == AutoresetMode.NEXT_STEP
        self.observations = np.empty((environments.num_envs, 0), dtype=np.float32)
        self._nowhere = np.zeros(environments.num_envs, dtype=np.bool_)
        self.ignored = self._nowhere

    def reset(self, seed: np.random.SeedSequence | int | None = None) -> None:
        """Begin a new episode everywhere.

        Args:
            seed: Of the environments' streams: an integer is handed on as it is; None goes on with those there are.
        """
        with of_the_environment():
            observations, _ = self.environments.reset(seed=self._seeds(seed))
        self.observations = self._flatten(observations)
        self.ignored = self._nowhere

    def _seeds(self, seed: np.random.SeedSequence | int | None) -> Any:
        if not isinstance(seed, np.random.SeedSequence):
            return seed
        # Vector environments of other kinds need only accept a single integer.
        is_known = isinstance(self.environments.unwrapped, (SyncVectorEnv, AsyncVectorEnv))
        count = self.environments.num_envs if is_known else 1
        seeds = [int(word) >> (32 - _SEED_BITS) for word in seed.generate_state(count, np.uint32)]
        return seeds if count > 1 else seeds[0]

    def step(self, actions: npt.NDArray[Any]) -> Step:
        """Take one step everywhere.

        Args:
            actions: Options numbered from 0 of K choices, or K continuous entries, shape (N, K).
        """
        ours = self._head.in_environment(actions).astype(self._action_dtype)
        with of_the_environment():
            batch, rewards, terminated, truncated, infos = self.environments.step(ours)
        ignored = self.ignored
        terminated, truncated = np.array(terminated, dtype=np.bool_), np.array(truncated, dtype=np.bool_)
        rewards = np.array(rewards, dtype=np.float64)
        observations = self._flatten(batch)
        final_observations: dict[int, npt.NDArray[np.float32]] = {}
        ended = terminated | truncated
        if ended.any():
            truncations = np.flatnonzero(truncated & ~terminated).tolist()
            if self._mode == AutoresetMode.SAME_STEP:
                finals = infos["final_obs"] if truncations else ()
                final_observations = {n: flatten_one(self._space, finals[n]) for n in truncations}
            else:
                final_observations = {n: observations[n].copy() for n in truncations}
            if self._mode == AutoresetMode.DISABLED:
                observations = self._begun_anew(ended)
        if self.ignores_actions:
            if ignored.any():
                rewards[ignored] = 0.0
            self.ignored = ended
        self.observations = observations
        return Step(rewards, terminated, truncated, final_observations)

    def _begun_anew(self, ended: Flags) -> npt.NDArray[np.float32]:
        with of_the_environment():
            observations, _ = self.environments.reset(options={"reset_mask": ended})
        return self._flatten(observations)


def checked_mode(environments: Vector, autoreset_mode: AutoresetMode | str | None) -> AutoresetMode:
    """Return how a vector environment begins new episodes.

    Args:
        environments: The vector environment.
        autoreset_mode: What the user says of it, where it does not say so itself.

    Raises:
        AutoresetModeError: If nobody says, or both do and differ.
    """
    declared = (environments.metadata or {}).get("autoreset_mode")
    modes = ", ".join(str(mode.value) for mode in AutoresetMode)
    try:
        given = None if autoreset_mode is None else AutoresetMode(autoreset_mode)
    except ValueError:
        raise AutoresetModeError(f"autoreset_mode must be one of {modes}, got {autoreset_mode!r}.") from None
    try:
        mode = AutoresetMode(declared)
    except ValueError:
        if given is None:
            raise AutoresetModeError(
                f"autoreset_mode must be one of {modes} for {environments}, which does not say how it begins new "
                "episodes; with the vectorization 'sync' or 'async' it is known."
            ) from None
        return given
    if given not in (None, mode):
        raise AutoresetModeError(
            f"autoreset_mode must be {mode.value}, as {environments} says, got {autoreset_mode!r}."
        )
    return mode
