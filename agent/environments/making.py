"""How environments are made: by id, as Gymnasium does, or by a function of the user's."""

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

# Registers its ids.
import fastcartpole  # noqa: F401

from ..config import REGISTERED, EpisodeLimit, PPOConfig, Vectorization
from ..errors import EnvironmentUseError, reason_of
from ..process.interrupts import interrupts_held_back
from .spec import EnvironmentSpec, spec_of

MODULE_FOLDER = "FASTPPO_MODULE_FOLDER"
"""The variable of the environment that names the folder in which the module of an id is looked for last.

Processes that are started for environments or trainings inherit it.
"""
# For batches of environments' own, which count steps up to their limit: as good as none.
_NO_LIMIT = 2**31 - 1
# After which the process of an environment that does not answer is ended.
_SECONDS_TO_END = 5.0

Environment = gymnasium.Env[Any, Any]
Vector = VectorEnv[Any, Any, Any]


class UnknownEnvironmentError(EnvironmentUseError):
    """Raised where an environment cannot be made: it is not registered, its module is missing, or it refuses."""


@contextmanager
def _folder_of_modules() -> Iterator[None]:
    """Find modules in the folder that the user named, after everything else; nowhere if there is none."""
    folder = os.environ.get(MODULE_FOLDER)
    if not folder:
        yield
        return
    sys.path.append(folder)
    try:
        yield
    finally:
        # The last: importing may have put others before it.
        del sys.path[len(sys.path) - 1 - sys.path[::-1].index(folder)]


def close_quietly(environments: Vector) -> None:
    """Close a vector environment, whatever it is in the midst of; Ctrl-C waits until it is closed.

    What goes wrong is not raised: what ended the work before is what the user has to see.
    """
    with interrupts_held_back(), warnings.catch_warnings():
        # That a step was interrupted.
        warnings.simplefilter("ignore")
        try:
            if isinstance(environments.unwrapped, AsyncVectorEnv):
                environments.close(timeout=_SECONDS_TO_END)
            else:
                environments.close()
        except Exception:
            _end_processes(environments.unwrapped)


def _end_processes(environments: Any) -> None:
    """End the processes of a vector environment that cannot be closed, as where one of them has died."""
    for process in getattr(environments, "processes", ()):
        process.kill()
        process.join()
    for pipe in getattr(environments, "parent_pipes", ()):
        if pipe is not None:
            pipe.close()
    environments.closed = True


@dataclass(frozen=True)
class EnvironmentSource:
    """Makes environments of one kind, one alone or a vector of them. It can be pickled if its parts can.

    Attributes:
        env_id: Id in Gymnasium's registry, ``module:id`` imports the module first; None with a function.
        env_kwargs: Keyword arguments of the environment.
        vectorization: How many are batched, as ``gymnasium.make_vec`` names it; ``auto`` is the environment's own batch
            where there is one, else ``sync``.
        make_env: The function; None with an id.
    """

    env_id: str | None
    env_kwargs: Mapping[str, Any] = field(default_factory=dict)
    vectorization: Vectorization = "auto"
    make_env: Callable[[], Environment] | None = None

    def one(self, max_episode_steps: EpisodeLimit = REGISTERED, **kwargs: Any) -> Environment:
        """Return a new environment.

        Args:
            max_episode_steps: Length at which episodes are truncated; None for no limit.
            kwargs: More keyword arguments of the environment, such as ``render_mode``.

        Raises:
            UnknownEnvironmentError: If it cannot be made.
        """
        if self.make_env is not None:
            with self._told():
                environment = self.make_env()
            return _limited(environment, max_episode_steps)
        # Gymnasium's word for the registered limit is None, and -1 for no limit.
        limit = None if max_episode_steps == REGISTERED else max_episode_steps or -1
        with _folder_of_modules(), self._told():
            self._import_module()
            return gymnasium.make(str(self.env_id), max_episode_steps=limit, **{**self.env_kwargs, **kwargs})

    def many(self, num_envs: int, max_episode_steps: EpisodeLimit = REGISTERED) -> Vector:
        """Return a vector environment; one that is made of single ones starts ended episodes anew in the same step.

        Args:
            num_envs: How many environments.
            max_episode_steps: Length at which episodes are truncated; None for no limit.

        Raises:
            UnknownEnvironmentError: If it cannot be made.
        """
        if self.vectorization == "vector_entry_point" or (self.vectorization == "auto" and self._has_batch()):
            self.assert_can_batch()
            return self._batch(num_envs, max_episode_steps)
        with self._told():
            if self.vectorization != "async":
                makers = [_Maker(self, max_episode_steps)] * num_envs
                return SyncVectorEnv(makers, autoreset_mode=AutoresetMode.SAME_STEP)
            makers = [_Maker(self, max_episode_steps, os.getpid())] * num_envs
            with interrupts_held_back():
                return AsyncVectorEnv(makers, autoreset_mode=AutoresetMode.SAME_STEP)

    def registered(self) -> gymnasium.envs.registration.EnvSpec | None:
        """Return the entry in Gymnasium's registry, the module imported by now; None for a function of the user's.

        Raises:
            UnknownEnvironmentError: If there is none.
        """
        if self.env_id is None:
            return None
        with _folder_of_modules(), self._told():
            self._import_module()
            # With its hints at the nearest name, and at newer versions.
            return gymnasium.envs.registration._find_spec(self.env_id)

    def describe(self) -> EnvironmentSpec:
        """Make an environment, look at it, and close it.

        Raises:
            UnknownEnvironmentError: If it cannot be made.
            UnsupportedSpaceError: If the agent cannot learn from its observations, or choose its actions.
        """
        environment = self.one()
        try:
            return spec_of(environment)
        finally:
            environment.close()

    def assert_can_batch(self) -> None:
        """Check that there is a batch of the environment's own, if it is asked for.

        Raises:
            UnknownEnvironmentError: If there is none.
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
        # Not every batch takes a limit.
        limits = {} if is_registered else {"max_episode_steps": max_episode_steps or _NO_LIMIT}
        with _folder_of_modules(), self._told():
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
    def _told(self) -> Iterator[None]:
        """Let what Gymnasium, a module or a constructor raises become one sentence."""
        try:
            with warnings.catch_warnings():
                # Of a newer version: the id that was asked for is the one that is made.
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
    """Makes one environment of a vector, here or in another process, with observations that are vectors.

    Attributes:
        source: Makes it.
        max_episode_steps: Length at which episodes are truncated.
        owner: The process that trains, where others step the environments; None where it does so itself.
    """

    source: EnvironmentSource
    max_episode_steps: EpisodeLimit
    owner: int | None = None

    def __call__(self) -> Environment:
        if self.owner not in (None, os.getpid()):
            # A terminal sends Ctrl-C to all processes: the one that trains decides.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        environment = self.source.one(self.max_episode_steps)
        is_vector = isinstance(environment.observation_space, Box)
        return environment if is_vector else gymnasium.wrappers.FlattenObservation(environment)


def source_of(config: PPOConfig) -> EnvironmentSource:
    """Return the source of the environments that a configuration names."""
    return EnvironmentSource(config.env_id, config.env_kwargs, config.vectorization)


def _limited(environment: Environment, max_episode_steps: EpisodeLimit) -> Environment:
    """Return an environment of the user's with another limit, which can only be a lower one.

    Raises:
        UnknownEnvironmentError: If it has a limit that stands in the way.
    """
    own = environment.spec.max_episode_steps if environment.spec is not None else None
    if max_episode_steps in (REGISTERED, own):
        return environment
    if own is not None and not (isinstance(max_episode_steps, int) and max_episode_steps < own):
        raise UnknownEnvironmentError(
            f"max_episode_steps must be 'registered' or at most {own}, the limit of the environments that make_env "
            f"makes, got {max_episode_steps!r}."
        )
    if isinstance(max_episode_steps, int):
        return gymnasium.wrappers.TimeLimit(environment, max_episode_steps)
    return environment
