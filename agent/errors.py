"""Exceptions, and helpers to report those of libraries. Imports only the standard library."""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class DivergenceError(ArithmeticError):
    """Raised if a loss, action or statistic is infinite or NaN, or a standard deviation is far out of range."""


class InvalidTransitionError(ArithmeticError):
    """Raised if an environment returns an observation that its space does not contain, or a value that is no number.

    Infinity and NaN are no numbers here.
    """


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


def exit_error(error: SystemExit) -> EnvironmentExitError:
    """Return the error to raise instead of a ``SystemExit`` of an environment."""
    return EnvironmentExitError(f"the environment called sys.exit({'' if error.code is None else repr(error.code)})")


class DeviceError(ValueError):
    """Raised if a configuration requests a device that the machine does not have."""


_OF_THE_ENVIRONMENT = "It was raised by the environment, not by the agent."


def mark_as_of_the_environment(error: BaseException) -> None:
    """Add a note to an exception, also shown in its traceback, that the environment's own code raised it."""
    error.add_note(_OF_THE_ENVIRONMENT)


@contextmanager
def of_the_environment() -> Iterator[None]:
    """Mark exceptions raised in this context as raised by the environment's own code.

    Raises:
        EnvironmentUseError: If the environment does not have the interface of Gymnasium's environments.
        EnvironmentExitError: If it called ``sys.exit``.
    """
    try:
        yield
    except (EnvironmentUseError, InvalidTransitionError):
        raise
    except SystemExit as error:
        raised = exit_error(error)
        mark_as_of_the_environment(raised)
        raise raised from error
    except Exception as error:
        if requirement := _violated_requirement(error):
            raise EnvironmentUseError(f"{requirement} ({reason_of(error)})") from error
        mark_as_of_the_environment(error)
        raise


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
    if not any(map(file.is_relative_to, wrappers)):
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
