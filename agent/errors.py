"""Exceptions of a training, and how those of libraries are told. Imports the standard library only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class DivergenceError(ArithmeticError):
    """Raised where a loss or an action is infinite or not a number, or a deviation is out of all proportion."""


class InvalidTransitionError(ArithmeticError):
    """Raised where an environment gives observations or rewards that are infinite or not a number."""


class EnvironmentUseError(ValueError):
    """Raised where an environment cannot be played: it cannot be made, or has spaces or a mode that do not fit."""


class UnsupportedSpaceError(EnvironmentUseError):
    """Raised where an agent cannot learn from such observations, or choose such actions."""


class DeviceError(ValueError):
    """Raised where a configuration asks for a device that the machine does not have."""


_OF_THE_ENVIRONMENT = "It was raised by the environment, not by the agent."


def mark_as_of_the_environment(error: BaseException) -> None:
    """Let an exception tell, in its traceback too, that the environment's own code raised it."""
    error.add_note(_OF_THE_ENVIRONMENT)


@contextmanager
def of_the_environment() -> Iterator[None]:
    """Mark what is raised within as raised by the environment's own code."""
    try:
        yield
    except Exception as error:
        mark_as_of_the_environment(error)
        raise


def is_of_the_environment(error: BaseException) -> bool:
    """Return whether an exception has been marked so."""
    return _OF_THE_ENVIRONMENT in getattr(error, "__notes__", ())


def reason_of(error: BaseException) -> str:
    """Return what an exception says, as one line; its type where it says nothing."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def explained(error: ImportError) -> ImportError:
    """Return an error that tells what to do where a part of this project is missing; any other as it is."""
    if (error.name or "").partition(".")[0] != "fastcartpole":
        return error
    return ImportError(
        "fastcartpole, which is a part of fastppo, is missing or incomplete, as it is after another installation of it "
        "was removed: pip install --force-reinstall --no-deps fastppo."
    )
