"""The file that a command is to write."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import click

from ..runs.files import write_atomically

_Result = TypeVar("_Result")


def checked_output(path: Path, suffixes: Sequence[str] = (), option: str = "--out") -> None:
    """Check that a new file can be made there.

    Args:
        path: What the option says, or stands for.
        suffixes: How it may end; empty for anything.
        option: Its name.

    Raises:
        click.BadParameter: If it exists, ends otherwise, or cannot be made.
    """
    if suffixes and path.suffix not in suffixes:
        raise _bad(option, f"'{path}' must end in {' or '.join(suffixes)}.")
    try:
        exists, has_directory = path.exists(), path.parent.is_dir()
    except OSError as error:
        raise _bad(option, f"'{path}' cannot be written: {error.strerror}.") from None
    if exists:
        raise _bad(option, f"'{path}' exists already.")
    if not has_directory:
        raise _bad(option, f"'{path.parent}' is not a directory.")
    if not os.access(path.parent, os.W_OK):
        raise _bad(option, f"nothing can be written into '{path.parent}'.")


def write_output(path: Path, write: Callable[[Path], _Result]) -> _Result:
    """Let ``write`` make the file, or leave nothing.

    Args:
        path: Where it goes; nothing may be there.
        write: Is given a temporary path beside it, which has the same suffix.

    Returns:
        What ``write`` returned.

    Raises:
        click.ClickException: If it cannot be written.
    """
    try:
        return write_atomically(path, write, is_new=True)
    except OSError as error:
        raise click.ClickException(unwritable(error)) from None


def created_directory(out: Path | None, default_name: str, create: Callable[[Path], _Result]) -> _Result:
    """Let ``create`` make the directory the user asked for, or one of the default name that nobody has taken.

    Args:
        out: What ``--out`` says.
        default_name: Where it says nothing, the name below ``runs``.
        create: Raises a FileExistsError where something is there already.

    Returns:
        What ``create`` returned.

    Raises:
        click.BadParameter: If it cannot be made.
    """
    candidates = [out] if out else [Path("runs") / f"{default_name}{suffix}" for suffix in ("", *range(-2, -100, -1))]
    for candidate in candidates:
        try:
            return create(candidate)
        except FileExistsError:
            continue
        except OSError as error:
            raise _bad("--out", f"'{candidate}' cannot be written: {error.strerror}.") from None
    raise _bad("--out", f"'{candidates[0]}' exists and is not an empty directory.")


def unwritable(error: OSError) -> str:
    """Return as a sentence what could not be written and why."""
    if error.filename is None and error.errno is None:
        # Not of the system: a library's word on a connection.
        return f"{error}"
    what = "the standard output" if error.filename is None else f"'{error.filename}'"
    return f"{what} cannot be written: {error.strerror or error}."


def _bad(option: str, message: str) -> click.BadParameter:
    return click.BadParameter(message, param_hint=f"'{option}'")
