"""Exceptions, and helpers to report those of libraries. Imports only the standard library."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class DivergenceError(ArithmeticError):
    """Raised if a loss, action or statistic is infinite or NaN, or a standard deviation is far out of range."""


class InvalidTransitionError(ArithmeticError):
    """Raised if an environment returns an observation or a reward that is infinite or NaN."""


class EnvironmentUseError(ValueError):
    """Raised if an environment cannot be used: it cannot be created, or its spaces or autoreset mode do not fit."""


class UnsupportedSpaceError(EnvironmentUseError):
    """Raised if an observation or action space is not supported."""


class DeviceError(ValueError):
    """Raised if a configuration requests a device that the machine does not have."""


_OF_THE_ENVIRONMENT = "It was raised by the environment, not by the agent."


def mark_as_of_the_environment(error: BaseException) -> None:
    """Add a note to an exception, also shown in its traceback, that the environment's own code raised it."""
    error.add_note(_OF_THE_ENVIRONMENT)


@contextmanager
def of_the_environment() -> Iterator[None]:
    """Mark exceptions raised in this context as raised by the environment's own code."""
    try:
        yield
    except Exception as error:
        mark_as_of_the_environment(error)
        raise


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
