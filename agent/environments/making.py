"""Creation of environments, by id from Gymnasium's registry or by a function of the user."""

from __future__ import annotations

import os
import signal
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakValueDictionary

import gymnasium
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv

# Imported to register its ids.
import fastcartpole  # noqa: F401

from ..config import REGISTERED, EpisodeLimit, PPOConfig, Vectorization
from ..errors import EnvironmentUseError, of_the_environment, reason_of
from ..process.interrupts import interrupts_held_back
from .guarding import Isolated
from .ids import folder_of_modules, import_module_of, versioned
from .spec import EnvironmentSpec, spec_of

# Practically no limit, for environments' own batches that require a number of steps.
_NO_LIMIT = 2**31 - 1
# Timeout after which the process of an unresponsive environment is terminated.
_SECONDS_TO_END = 5.0

Environment = gymnasium.Env[Any, Any]
Vector = VectorEnv[Any, Any, Any]

# The environments that were created in this process, without their wrappers, by id.
_KNOWN: WeakValueDictionary[int, Any] = WeakValueDictionary()


def note_handed_over(environments: Iterable[Environment]) -> None:
    """Remember environments that the user passed, so that they are not taken for new ones."""
    _KNOWN.update((id(environment.unwrapped), environment.unwrapped) for environment in environments)


class UnknownEnvironmentError(EnvironmentUseError):
    """Raised if an environment cannot be created, as when it is not registered or its module is missing."""


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
        except (Exception, SystemExit):
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

    def __post_init__(self) -> None:
        """Complete the id with its version, on which settings and the kernel depend."""
        if isinstance(self.env_id, str):
            object.__setattr__(self, "env_id", versioned(self.env_id))

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
            if not isinstance(environment, gymnasium.Env):
                raise UnknownEnvironmentError(f"make_env must return a gymnasium.Env, got {environment!r}.")
            return _limited(environment, max_episode_steps)
        # In Gymnasium, None is the registered limit and -1 no limit.
        limit = None if max_episode_steps == REGISTERED else max_episode_steps or -1
        with folder_of_modules(), self._errors_explained():
            import_module_of(str(self.env_id))
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
        makers = [_Maker(self, max_episode_steps, index) for index in range(num_envs)]
        if self.vectorization == "async":
            with self._errors_explained(), interrupts_held_back():
                return AsyncVectorEnv(makers, autoreset_mode=AutoresetMode.SAME_STEP)
        made: list[Environment] = []
        try:
            with self._errors_explained():
                for maker in makers:
                    one = maker()
                    self._assert_new(one)
                    made.append(one)
                return SyncVectorEnv([iter([one]).__next__ for one in made], autoreset_mode=AutoresetMode.SAME_STEP)
        except BaseException:
            for one in made:
                with suppress(Exception, SystemExit):
                    one.close()
            raise

    def registered(self) -> gymnasium.envs.registration.EnvSpec | None:
        """Return the entry in Gymnasium's registry, after importing the module; None with ``make_env``.

        Raises:
            UnknownEnvironmentError: If the environment is not registered.
        """
        if self.env_id is None:
            return None
        with folder_of_modules(), self._errors_explained():
            import_module_of(str(self.env_id))
            # Its errors suggest the nearest name and newer versions.
            return gymnasium.envs.registration._find_spec(self.env_id)

    def describe(self) -> EnvironmentSpec:
        """Return the properties of an environment, which is created and closed.

        Raises:
            UnknownEnvironmentError: If the environment cannot be created.
            UnsupportedSpaceError: If the agent cannot learn from its observations, or choose its actions.
        """
        environment = self.one()
        # Other processes have copies of their own.
        if self.vectorization != "async":
            self._assert_new(environment)
        try:
            return spec_of(environment)
        finally:
            with of_the_environment():
                environment.close()

    def _assert_new(self, environment: Environment) -> None:
        """Check that an environment was not created before, for the same or another vector environment.

        Raises:
            UnknownEnvironmentError: If it was.
        """
        own = environment.unwrapped
        if _KNOWN.get(id(own)) is own:
            creator = "make_env" if self.make_env is not None else str(self)
            raise UnknownEnvironmentError(
                f"{creator} must return a new environment each time, got the same object again, a {type(own).__name__}."
            )
        _KNOWN[id(own)] = own

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
        with folder_of_modules(), self._errors_explained():
            return gymnasium.make_vec(
                str(self.env_id),
                num_envs=num_envs,
                vectorization_mode="vector_entry_point",
                **{**self.env_kwargs, **limits},
            )

    @contextmanager
    def _errors_explained(self) -> Iterator[None]:
        """Turn errors of Gymnasium, a module or a constructor into an error of one sentence."""
        try:
            with warnings.catch_warnings(), of_the_environment():
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
    """Creates one environment of a vector, in this or another process.

    Attributes:
        source: Source of the environment.
        max_episode_steps: Number of steps after which episodes are truncated.
        index: Index of the environment in the vector.
        owner: Id of the training process.
    """

    source: EnvironmentSource
    max_episode_steps: EpisodeLimit
    index: int
    owner: int = field(default_factory=os.getpid)

    def __call__(self) -> Environment:
        if self.owner != os.getpid():
            # A terminal sends Ctrl-C to all processes; only the training process reacts to it.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        return Isolated(self.source.one(self.max_episode_steps), self.index)


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
