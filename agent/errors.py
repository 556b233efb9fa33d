"""Exceptions, and helpers to report those of libraries. Imports only the standard library."""

from __future__ import annotations

import re
import sys
import traceback
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType


class DivergenceError(ArithmeticError):
    """Raised if a loss, action or statistic is infinite or NaN, or a standard deviation is far out of range."""


class InvalidTransitionError(ArithmeticError):
    """Raised if an environment returns what is infinite, NaN or no number, or an option that does not exist."""


class EnvironmentUseError(ValueError):
    """Raised if an environment cannot be used: it cannot be created, or its spaces or autoreset mode do not fit."""


class UnsupportedSpaceError(EnvironmentUseError):
    """Raised if an observation or action space is not supported."""


class OutsideSpaceError(ValueError):
    """Raised if an observation has an option that its space does not contain.

    Attributes:
        index: Index of the observation in its batch.
        fault: The observation and the space, as a part of a sentence.
    """

    def __init__(self, index: int, value: object, space: object) -> None:
        super().__init__(f"observations must lie in {space}, got {value}.")
        self.index = index
        self.fault = f"the observation {value}, which {space} does not contain"


class EnvironmentExitError(RuntimeError):
    """Raised instead of ``SystemExit``, with which an environment would end the program without a word."""


class DeviceError(ValueError):
    """Raised if a configuration requests a device that the machine does not have."""


_OF_THE_ENVIRONMENT = "It was raised by the environment, not by the agent."


def mark_as_of_the_environment(error: BaseException) -> None:
    """Add a note to an exception, also shown in its traceback, that the environment's own code raised it."""
    error.add_note(_OF_THE_ENVIRONMENT)


class _OfTheEnvironment:
    """The context of ``of_the_environment``; a class, because a generator would slow every step down."""

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, SystemExit):
            raised = EnvironmentExitError(
                f"the environment called sys.exit({'' if error.code is None else repr(error.code)})"
            )
            mark_as_of_the_environment(raised)
            raise raised from error
        if not isinstance(error, Exception) or isinstance(error, (EnvironmentUseError, InvalidTransitionError)):
            return
        if requirement := _violated_requirement(error):
            raise EnvironmentUseError(f"{requirement} ({reason_of(error).rstrip('.')}).") from error
        mark_as_of_the_environment(error)


def of_the_environment() -> AbstractContextManager[None]:
    """Return a context in which exceptions are marked as raised by the environment's own code.

    Raises:
        EnvironmentUseError: If the environment does not have the interface of Gymnasium's environments.
        EnvironmentExitError: If it called ``sys.exit``.
    """
    return _OF_THE_ENVIRONMENT_CONTEXT


_OF_THE_ENVIRONMENT_CONTEXT = _OfTheEnvironment()


_REQUIREMENTS = {
    r"unexpected keyword argument '(seed|options)'": "reset() must accept the keyword arguments seed and options",
    r"values to unpack \(expected 2": "reset() must return two values, the observation and a dictionary of infos",
    r"values to unpack \(expected 5": "step() must return five values, the observation, the reward, terminated, "
    "truncated, and a dictionary of infos",
}
"""What Gymnasium requires of an environment, by the errors that its wrappers raise otherwise."""


def _violated_requirement(error: Exception) -> str | None:
    """Return what Gymnasium requires of an environment, if one of its wrappers has failed for the lack of it."""
    file = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
    # The environment's own code fails in its own files.
    wrappers = (Path(str(sys.modules["gymnasium"].__file__)).parent, Path(__file__).parent)
    # Errors of other processes, whose own code may have raised them, are raised again in this file.
    if not any(map(file.is_relative_to, wrappers)) or file.name == "async_vector_env.py":
        return None
    if isinstance(error, AssertionError) and file.name == "passive_env_checker.py":
        return "the environment must have the interface of Gymnasium's environments"
    found = (requirement for pattern, requirement in _REQUIREMENTS.items() if re.search(pattern, str(error)))
    return next(found, None) if isinstance(error, (TypeError, ValueError)) else None


def is_of_the_environment(error: BaseException) -> bool:
    """Return whether an exception is marked as raised by the environment's own code."""
    return _OF_THE_ENVIRONMENT in getattr(error, "__notes__", ())


def reason_of(error: BaseException) -> str:
    """Return the first line of an exception's message, or its type if the message is empty."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def explained(error: ImportError) -> ImportError:
    """Return an error that says how to repair an incomplete installation; return other errors unchanged."""
    if (error.name or "").partition(".")[0] != "fastcartpole":
        return error
    return ImportError(
        "fastcartpole, which is a part of fastppo, is missing or incomplete, as happens when another installation of "
        "it was removed. To repair: pip install --force-reinstall --no-deps fastppo."
    )
