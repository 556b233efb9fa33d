"""Wrappers that keep what single environments return apart, plain and complete in a vector environment."""

from __future__ import annotations

import copy
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import SyncVectorEnv, VectorEnv

from ..errors import EnvironmentUseError, InvalidTransitionError, of_the_environment
from .spec import name_of

Environment = gymnasium.Env[Any, Any]
_Wrapper = gymnasium.Wrapper[Any, Any, Any, Any]
_NUMBERS = (float, int, np.floating, np.integer)
_FLAGS = (bool, np.bool_)


class Guarded(_Wrapper):
    """An environment with plain results that may be kept.

    The last observation of an episode is a copy: with same-step autoreset, it is still needed after the reset, with
    which an environment that always returns the same array overwrites it. Rewards and flags are plain numbers: arrays
    of one number are taken as that number. Errors are explained and marked as the environment's.
    """

    def __init__(self, environment: Environment, index: int = 0) -> None:
        """Wrap an environment.

        Args:
            environment: The environment.
            index: Its index in a vector environment, for messages.
        """
        super().__init__(environment)
        self.place = f"environment {index} of {name_of(environment)}"

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start a new episode.

        Raises:
            EnvironmentUseError: If the environment does not return an observation and a dictionary.
            EnvironmentExitError: If it called ``sys.exit``.
        """
        with of_the_environment():
            result: Any = self.env.reset(seed=seed, options=options)
        if not (isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], dict)):
            raise EnvironmentUseError(
                f"{self.place}: reset() must return two values, the observation and a dictionary of infos, got "
                f"{_shown(result)}."
            )
        return result

    def step(self, action: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Step the environment.

        Raises:
            EnvironmentUseError: If the environment does not return five values.
            InvalidTransitionError: If the reward is no number, or a flag is neither true nor false.
            EnvironmentExitError: If it called ``sys.exit``.
        """
        with of_the_environment():
            result: Any = self.env.step(action)
        if not (isinstance(result, tuple) and len(result) == 5):
            raise EnvironmentUseError(
                f"{self.place}: step() must return five values, the observation, the reward, terminated, truncated, "
                f"and a dictionary of infos, got {_shown(result)}."
            )
        observation, reward, terminated, truncated, infos = result
        if not isinstance(reward, _NUMBERS):
            reward = self._plain("reward", reward, "which is not one number")
        if not isinstance(terminated, _FLAGS):
            terminated = bool(self._plain("flag terminated", terminated, "which is neither True nor False"))
        if not isinstance(truncated, _FLAGS):
            truncated = bool(self._plain("flag truncated", truncated, "which is neither True nor False"))
        if terminated or truncated:
            observation = copy.deepcopy(observation)
        return observation, reward, terminated, truncated, infos

    def _plain(self, what: str, value: Any, fault: str) -> float:
        """Return the number that an array of one entry holds, or another kind of number, as a float.

        Raises:
            InvalidTransitionError: If it is anything else.
        """
        array = np.asarray(value)
        try:
            if array.size == 1 and array.dtype.kind not in "SU":
                return float(array.item())
        except (TypeError, ValueError):
            pass
        shape = f" of shape {array.shape}" if array.shape else ""
        raise InvalidTransitionError(f"{self.place} gave the {what} {value!r}{shape}, {fault}")


class Isolated(Guarded):
    """One environment of a vector that is made here.

    Infos are dropped, because not all of them can be merged and none are used. Observations have a dtype that processes
    can share.
    """

    def __init__(self, environment: Environment, index: int) -> None:
        """Wrap an environment; see ``Guarded``."""
        super().__init__(environment, index)
        self.observation_space = _shareable(environment.observation_space)
        self._is_cast = self.observation_space is not environment.observation_space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start a new episode; see ``Guarded.reset``."""
        observation, _ = super().reset(seed=seed, options=options)
        return self._shared(observation), {}

    def step(self, action: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Step the environment; see ``Guarded.step``."""
        *results, _ = super().step(action)
        observation, reward, terminated, truncated = results
        return self._shared(observation), reward, terminated, truncated, {}

    def _shared(self, observation: Any) -> Any:
        return _cast(self.observation_space, observation) if self._is_cast else observation


def _shown(result: object) -> str:
    return f"a tuple of {len(result)}" if isinstance(result, tuple) else f"an object of {type(result).__name__}"


def _shareable(space: gymnasium.Space[Any]) -> gymnasium.Space[Any]:
    """Return a space with dtypes that processes can share: half and extended precision become single precision."""
    if isinstance(space, spaces.Box) and space.dtype.kind == "f" and space.dtype.itemsize not in (4, 8):
        with np.errstate(over="ignore"):
            return spaces.Box(space.low.astype(np.float32), space.high.astype(np.float32), space.shape, np.float32)
    if isinstance(space, (spaces.Dict, spaces.Tuple)):
        names, parts = zip(*_named_parts(space), strict=True)
        shareable = [_shareable(part) for part in parts]
        if any(new is not old for new, old in zip(shareable, parts, strict=True)):
            # A list of pairs keeps its order, which a dictionary would not.
            pairs = list(zip(names, shareable, strict=True))
            return spaces.Dict(pairs) if isinstance(space, spaces.Dict) else spaces.Tuple(shareable)
    return space


def _named_parts(space: Any) -> list[tuple[Any, gymnasium.Space[Any]]]:
    """Return the parts of a space, and the name or index of each."""
    return list(space.spaces.items() if isinstance(space, spaces.Dict) else enumerate(space.spaces))


def _cast(space: gymnasium.Space[Any], observation: Any) -> Any:
    """Return an observation with the dtypes of a space."""
    if isinstance(space, (spaces.Dict, spaces.Tuple)):
        parts = {name: _cast(part, observation[name]) for name, part in _named_parts(space)}
        return parts if isinstance(space, spaces.Dict) else tuple(parts.values())
    with np.errstate(over="ignore"):
        return np.asarray(observation, dtype=space.dtype)


def singles_of(environments: VectorEnv[Any, Any, Any]) -> list[Environment]:
    """Return the environments of a vector that steps them in this process; none of any other vector environment."""
    vector = environments.unwrapped
    return list(vector.envs) if isinstance(vector, SyncVectorEnv) else []


def guard(environments: VectorEnv[Any, Any, Any]) -> None:
    """Wrap the single environments of a vector that the user passed, if they are stepped in this process."""
    vector = environments.unwrapped
    if isinstance(vector, SyncVectorEnv):
        vector.envs = [
            one if isinstance(one, Guarded) else Guarded(one, index) for index, one in enumerate(vector.envs)
        ]
