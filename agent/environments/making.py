"""Creation of environments, by id from Gymnasium's registry or by a function of the user."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import gymnasium
from gymnasium.spaces import Box
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv

# Imported to register its ids.
import fastcartpole  # noqa: F401

from ..config import REGISTERED, EpisodeLimit, PPOConfig, Vectorization
from ..errors import EnvironmentUseError, reason_of
from ..process.interrupts import interrupts_held_back
from .spec import EnvironmentSpec, spec_of

MODULE_FOLDER = "FASTPPO_MODULE_FOLDER"
"""Environment variable with the folder that is searched last for the module of an id.

Processes started for environments or trainings inherit it.
"""
# Practically no limit, for environments' own batches that require a number of steps.
_NO_LIMIT = 2**31 - 1
# Timeout after which the process of an unresponsive environment is terminated.
_SECONDS_TO_END = 5.0

Environment = gymnasium.Env[Any, Any]
Vector = VectorEnv[Any, Any, Any]


class UnknownEnvironmentError(EnvironmentUseError):
    """Raised if an environment cannot be created, as when it is not registered or its module is missing."""


@contextmanager
def _folder_of_modules() -> Iterator[None]:
    """Let imports also search, after everything else, the folder that the user named, if any."""
    folder = os.environ.get(MODULE_FOLDER)
    if not folder:
        yield
        return
    sys.path.append(folder)
    try:
        yield
    finally:
        # Remove the last occurrence: imports may have inserted other entries before it.
        del sys.path[len(sys.path) - 1 - sys.path[::-1].index(folder)]


def close_quietly(environments: Vector) -> None:
    """Close a vector environment in any state; Ctrl-C waits until it is closed.

    Errors are suppressed, so that they do not hide the error that ended the work before.
    """
    with interrupts_held_back(), warnings.catch_warnings():
        # Gymnasium warns that a step was interrupted.
        warnings.simplefilter("ignore")
        try:
            if isinstance(environments.unwrapped, AsyncVectorEnv):
                environments.close(timeout=_SECONDS_TO_END)
            else:
                environments.close()
        except Exception:
            _end_processes(environments.unwrapped)


def _end_processes(environments: Any) -> None:
    """Kill the processes of a vector environment that cannot be closed, as when one of them has died."""
    for process in getattr(environments, "processes", ()):
        process.kill()
        process.join()
    for pipe in getattr(environments, "parent_pipes", ()):
        if pipe is not None:
            pipe.close()
    environments.closed = True


@dataclass(frozen=True)
class EnvironmentSource:
    """Creates single environments and vector environments of one kind. It can be pickled if its parts can.

    Attributes:
        env_id: Id in Gymnasium's registry, where ``module:id`` imports the module first; None with ``make_env``.
        env_kwargs: Keyword arguments of the environment.
        vectorization: Vectorization mode as in ``gymnasium.make_vec``; ``auto`` uses the environment's own batch if
            there is one, otherwise ``sync``.
        make_env: Function that creates an environment; None with ``env_id``.
    """

    env_id: str | None
    env_kwargs: Mapping[str, Any] = field(default_factory=dict)
    vectorization: Vectorization = "auto"
    make_env: Callable[[], Environment] | None = None

    def one(self, max_episode_steps: EpisodeLimit = REGISTERED, **kwargs: Any) -> Environment:
        """Return a new environment.

        Args:
            max_episode_steps: Number of steps after which episodes are truncated; None for no limit.
            kwargs: Further keyword arguments of the environment, such as ``render_mode``.

        Raises:
            UnknownEnvironmentError: If the environment cannot be created.
        """
        if self.make_env is not None:
            with self._errors_explained():
                environment = self.make_env()
            return _limited(environment, max_episode_steps)
        # In Gymnasium, None is the registered limit and -1 no limit.
        limit = None if max_episode_steps == REGISTERED else max_episode_steps or -1
        with _folder_of_modules(), self._errors_explained():
            self._import_module()
            return gymnasium.make(str(self.env_id), max_episode_steps=limit, **{**self.env_kwargs, **kwargs})

    def many(self, num_envs: int, max_episode_steps: EpisodeLimit = REGISTERED) -> Vector:
        """Return a vector environment; if it is made of single environments, its autoreset mode is ``SAME_STEP``.

        Args:
            num_envs: Number of environments.
            max_episode_steps: Number of steps after which episodes are truncated; None for no limit.

        Raises:
            UnknownEnvironmentError: If the environment cannot be created.
        """
        if self.vectorization == "vector_entry_point" or (self.vectorization == "auto" and self._has_batch()):
            self.assert_can_batch()
            return self._batch(num_envs, max_episode_steps)
        with self._errors_explained():
            if self.vectorization != "async":
                makers = [_Maker(self, max_episode_steps)] * num_envs
                return SyncVectorEnv(makers, autoreset_mode=AutoresetMode.SAME_STEP)
            makers = [_Maker(self, max_episode_steps, os.getpid())] * num_envs
            with interrupts_held_back():
                return AsyncVectorEnv(makers, autoreset_mode=AutoresetMode.SAME_STEP)

    def registered(self) -> gymnasium.envs.registration.EnvSpec | None:
        """Return the entry in Gymnasium's registry, after importing the module; None with ``make_env``.

        Raises:
            UnknownEnvironmentError: If the environment is not registered.
        """
        if self.env_id is None:
            return None
        with _folder_of_modules(), self._errors_explained():
            self._import_module()
            # Its errors suggest the nearest name and newer versions.
            return gymnasium.envs.registration._find_spec(self.env_id)

    def describe(self) -> EnvironmentSpec:
        """Return the properties of an environment, which is created and closed.

        Raises:
            UnknownEnvironmentError: If the environment cannot be created.
            UnsupportedSpaceError: If the agent cannot learn from its observations, or choose its actions.
        """
        environment = self.one()
        try:
            return spec_of(environment)
        finally:
            environment.close()

    def assert_can_batch(self) -> None:
        """Check that the environment has its own batch, if that vectorization is requested.

        Raises:
            UnknownEnvironmentError: If it has none.
        """
        if self.vectorization == "vector_entry_point" and not self._has_batch():
            raise UnknownEnvironmentError(
                f"vectorization must be auto, sync or async for {self}, which has no vector entry point."
            )

    def _has_batch(self) -> bool:
        registered = self.registered()
        return registered is not None and registered.vector_entry_point is not None

    def _batch(self, num_envs: int, max_episode_steps: EpisodeLimit) -> Vector:
        registered = self.registered()
        is_registered = registered is not None and max_episode_steps in (REGISTERED, registered.max_episode_steps)
        # Not every batch accepts a limit.
        limits = {} if is_registered else {"max_episode_steps": max_episode_steps or _NO_LIMIT}
        with _folder_of_modules(), self._errors_explained():
            return gymnasium.make_vec(
                str(self.env_id),
                num_envs=num_envs,
                vectorization_mode="vector_entry_point",
                **{**self.env_kwargs, **limits},
            )

    def _import_module(self) -> None:
        module, colon, _ = str(self.env_id).partition(":")
        if colon:
            import_module(module)

    @contextmanager
    def _errors_explained(self) -> Iterator[None]:
        """Turn errors of Gymnasium, a module or a constructor into an error of one sentence."""
        try:
            with warnings.catch_warnings():
                # The user has requested this version, so that a newer one does not matter.
                warnings.filterwarnings("ignore", message=".*is out of date.*")
                yield
        except UnknownEnvironmentError:
            raise
        except Exception as error:
            raise UnknownEnvironmentError(f"{self} cannot be made: {reason_of(error)}") from error

    def __str__(self) -> str:
        return self.env_id or str(getattr(self.make_env, "__name__", self.make_env))


@dataclass(frozen=True)
class _Maker:
    """Creates one environment of a vector, in this or another process, with vectors as observations.

    Attributes:
        source: Source of the environment.
        max_episode_steps: Number of steps after which episodes are truncated.
        owner: Id of the training process, if other processes step the environments; otherwise None.
    """

    source: EnvironmentSource
    max_episode_steps: EpisodeLimit
    owner: int | None = None

    def __call__(self) -> Environment:
        if self.owner not in (None, os.getpid()):
            # A terminal sends Ctrl-C to all processes; only the training process reacts to it.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        environment = self.source.one(self.max_episode_steps)
        is_vector = isinstance(environment.observation_space, Box)
        return environment if is_vector else gymnasium.wrappers.FlattenObservation(environment)


def source_of(config: PPOConfig) -> EnvironmentSource:
    """Return the source of the environments that a configuration names."""
    return EnvironmentSource(config.env_id, config.env_kwargs, config.vectorization)


def _limited(environment: Environment, max_episode_steps: EpisodeLimit) -> Environment:
    """Return a user's environment with another time limit, which can only be lower.

    Raises:
        UnknownEnvironmentError: If the environment's own limit is lower.
    """
    own = environment.spec.max_episode_steps if environment.spec is not None else None
    if max_episode_steps in (REGISTERED, own):
        return environment
    if own is not None and not (isinstance(max_episode_steps, int) and max_episode_steps < own):
        raise UnknownEnvironmentError(
            f"max_episode_steps must be 'registered' or at most {own}, the limit of the environments that make_env "
            f"creates, got {max_episode_steps!r}."
        )
    if isinstance(max_episode_steps, int):
        return gymnasium.wrappers.TimeLimit(environment, max_episode_steps)
    return environment
