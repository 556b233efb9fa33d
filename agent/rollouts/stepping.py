"""A uniform interface to vector environments, which hides their autoreset modes."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv

from ..environments.heads import action_head
from ..environments.spaces import flatten_one, flattened
from ..errors import EnvironmentUseError, InvalidTransitionError, OutsideSpaceError, of_the_environment

Vector = VectorEnv[Any, Any, Any]
Flags = npt.NDArray[np.bool_]

# What a step returns besides observations and infos.
_RESULTS = (("rewards", np.float64), ("flags terminated", np.bool_), ("flags truncated", np.bool_))
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


class SharingWatch:
    """Warns if same-step autoreset seems to overwrite final observations, which cannot be seen in other processes.

    This happens if an environment returns the same array each time: the reset writes into the array that was returned
    as the final observation.
    """

    _ENDS = 3

    def __init__(self) -> None:
        self._seen = 0

    def look(
        self,
        finals: dict[int, npt.NDArray[np.float32]],
        before: npt.NDArray[np.float32],
        after: npt.NDArray[np.float32],
    ) -> None:
        """Look at the ends of episodes, until one final observation differs from the one after the reset.

        Args:
            finals: Final observations by index of the environment.
            before: Observations before the step, shape (N, D).
            after: Observations after it, from the resets, shape (N, D).
        """
        for n, final in finals.items():
            if not 0 <= self._seen < self._ENDS or np.array_equal(before[n], after[n]):
                continue
            self._seen = self._seen + 1 if np.array_equal(final, after[n]) else -1
            if self._seen == self._ENDS:
                warnings.warn(
                    f"The final observations of the first {self._ENDS} episodes that were truncated equal the first "
                    "observations of the next ones: the environments seem to return the same array each time, which a "
                    "reset overwrites. Return a copy, such as self.state.copy().",
                    RuntimeWarning,
                    stacklevel=2,
                )


class Stepper:
    """Steps a vector environment and resets environments whose episode has ended.

    Attributes:
        environments: The vector environment.
        observations: Current observations as vectors, shape (N, D), float32.
        ignored: Whether an environment will ignore its next action and start a new episode instead, shape (N,), bool.
        ignores_actions: Whether environments may ignore actions, as with next-step autoreset.
    """

    def __init__(
        self,
        environments: Vector,
        name: str,
        autoreset_mode: AutoresetMode | str | None = None,
        *,
        watches_sharing: bool = False,
    ) -> None:
        """Wrap a vector environment, without resetting it.

        Args:
            environments: The vector environment.
            name: Name of its environments, for messages.
            autoreset_mode: Its autoreset mode; None uses the mode that it declares.
            watches_sharing: Whether to warn if final observations seem to be overwritten.

        Raises:
            AutoresetModeError: If the autoreset mode is unknown or contradictory.
        """
        self.environments = environments
        self._name = name
        self._mode = checked_mode(environments, autoreset_mode)
        self._space = environments.single_observation_space
        self._head = action_head(environments.single_action_space)
        self.ignores_actions = self._mode == AutoresetMode.NEXT_STEP
        self.observations = np.empty((environments.num_envs, 0), dtype=np.float32)
        self._nowhere = np.zeros(environments.num_envs, dtype=np.bool_)
        self.ignored = self._nowhere
        is_watched = watches_sharing and self._mode == AutoresetMode.SAME_STEP
        self._sharing = SharingWatch() if is_watched else None

    def reset(self, seed: np.random.SeedSequence | int | None = None) -> None:
        """Start a new episode in every environment.

        Args:
            seed: Seed of the environments; an integer is passed on unchanged. None continues their random streams.

        Raises:
            InvalidTransitionError: If an observation lies outside of its space.
            EnvironmentUseError: If an environment does not have the interface of Gymnasium's environments.
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

        Raises:
            InvalidTransitionError: If an observation lies outside of its space, or a reward is no number.
            EnvironmentUseError: If an environment does not have the interface of Gymnasium's environments.
        """
        converted = self._head.in_environment(actions)
        with of_the_environment():
            batch, *results, infos = self.environments.step(converted)
        ignored = self.ignored
        rewards, terminated, truncated = (
            self._one_each(name, array, dtype) for (name, dtype), array in zip(_RESULTS, results, strict=True)
        )
        observations = self._flatten(batch)
        final_observations: dict[int, npt.NDArray[np.float32]] = {}
        ended = terminated | truncated
        if ended.any():
            truncations = np.flatnonzero(truncated & ~terminated).tolist()
            if self._mode == AutoresetMode.SAME_STEP:
                finals = infos["final_obs"] if truncations else ()
                final_observations = {n: self._flatten_final(n, finals[n]) for n in truncations}
                if self._sharing is not None and truncations:
                    self._sharing.look(final_observations, self.observations, observations)
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

    def _one_each(self, name: str, given: Any, dtype: type) -> npt.NDArray[Any]:
        """Return one number per environment, shape (N,), as a new array.

        Raises:
            InvalidTransitionError: If there are more or fewer.
        """
        array: npt.NDArray[Any] = np.array(given, dtype=dtype)
        num_envs = self.environments.num_envs
        if array.size != num_envs:
            raise InvalidTransitionError(f"{self._name} gave {name} of shape {array.shape}, not ({num_envs},)")
        return array.reshape(num_envs)

    def _flatten(self, batch: Any) -> npt.NDArray[np.float32]:
        """Return a batch of observations as vectors, shape (N, D), float32.

        Raises:
            InvalidTransitionError: If one lies outside of its space.
        """
        try:
            return flattened(self._space, batch, self.environments.num_envs)
        except OutsideSpaceError as error:
            raise self._outside(error.index, error) from None

    def _flatten_final(self, index: int, observation: Any) -> npt.NDArray[np.float32]:
        try:
            return flatten_one(self._space, observation)
        except OutsideSpaceError as error:
            raise self._outside(index, error) from None

    def _outside(self, index: int, error: OutsideSpaceError) -> InvalidTransitionError:
        return InvalidTransitionError(f"environment {index} of {self._name} gave {error.fault}")

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
