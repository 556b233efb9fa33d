"""A uniform interface to vector environments, which hides their autoreset modes."""

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

# Size of the environments' seeds: some simulators accept signed 32-bit integers only.
_SEED_BITS = 31


class AutoresetModeError(EnvironmentUseError):
    """Raised if the autoreset mode of a vector environment is unknown or contradictory."""


class Step(NamedTuple):
    """Results of one step of N environments.

    Attributes:
        rewards: Shape (N,), float64; 0 if the action was ignored.
        terminated: Shape (N,), bool.
        truncated: Shape (N,), bool.
        final_observations: Last observations of episodes that were truncated but did not terminate, by index of the
            environment.
    """

    rewards: npt.NDArray[np.float64]
    terminated: Flags
    truncated: Flags
    final_observations: dict[int, npt.NDArray[np.float32]]


class Stepper:
    """Steps a vector environment and resets environments whose episode has ended.

    Attributes:
        environments: The vector environment.
        observations: Current observations as vectors, shape (N, D), float32.
        ignored: Whether an environment will ignore its next action and start a new episode instead, shape (N,), bool.
        ignores_actions: Whether environments may ignore actions, as with next-step autoreset.
    """

    def __init__(self, environments: Vector, autoreset_mode: AutoresetMode | str | None = None) -> None:
        """Wrap a vector environment, without resetting it.

        Args:
            environments: The vector environment.
            autoreset_mode: Its autoreset mode; None uses the mode that it declares.

        Raises:
            AutoresetModeError: If the autoreset mode is unknown or contradictory.
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
        """Start a new episode in every environment.

        Args:
            seed: Seed of the environments; an integer is passed on unchanged. None continues their random streams.
        """
        with of_the_environment():
            observations, _ = self.environments.reset(seed=self._seeds(seed))
        self.observations = self._flatten(observations)
        self.ignored = self._nowhere

    def _seeds(self, seed: np.random.SeedSequence | int | None) -> Any:
        if not isinstance(seed, np.random.SeedSequence):
            return seed
        # Other vector environments may accept only a single integer.
        is_known = isinstance(self.environments.unwrapped, (SyncVectorEnv, AsyncVectorEnv))
        count = self.environments.num_envs if is_known else 1
        seeds = [int(word) >> (32 - _SEED_BITS) for word in seed.generate_state(count, np.uint32)]
        return seeds if count > 1 else seeds[0]

    def step(self, actions: npt.NDArray[Any]) -> Step:
        """Take one step in every environment.

        Args:
            actions: Options of K choices, numbered from 0, or K continuous entries, shape (N, K).
        """
        converted = self._head.in_environment(actions).astype(self._action_dtype)
        with of_the_environment():
            batch, rewards, terminated, truncated, infos = self.environments.step(converted)
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
                observations = self._reset_ended(ended)
        if self.ignores_actions:
            if ignored.any():
                rewards[ignored] = 0.0
            self.ignored = ended
        self.observations = observations
        return Step(rewards, terminated, truncated, final_observations)

    def _reset_ended(self, ended: Flags) -> npt.NDArray[np.float32]:
        with of_the_environment():
            observations, _ = self.environments.reset(options={"reset_mask": ended})
        return self._flatten(observations)


def checked_mode(environments: Vector, autoreset_mode: AutoresetMode | str | None) -> AutoresetMode:
    """Return the autoreset mode of a vector environment.

    Args:
        environments: The vector environment.
        autoreset_mode: Mode given by the user, for environments that do not declare one.

    Raises:
        AutoresetModeError: If neither is known, or if they differ.
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
                "episodes; with the vectorization 'sync' or 'async', the mode is known."
            ) from None
        return given
    if given not in (None, mode):
        raise AutoresetModeError(
            f"autoreset_mode must be {mode.value}, as {environments} says, got {autoreset_mode!r}."
        )
    return mode
