"""The file that a command writes."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
import cloup

from ..runs.files import write_atomically
from .directories import Lockable

_Result = TypeVar("_Result")
_Directory = TypeVar("_Directory", bound=Lockable)
# The contents of a SavedModel's directory; the first is always there.
_SAVED_MODEL = ("saved_model.pb", "fingerprint.pb", "keras_metadata.pb", "variables", "assets")


def overwrite_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--overwrite``."""
    return cloup.option("--overwrite", is_flag=True, help="Replace existing output.")(command)


def checked_output(path: Path, suffixes: Sequence[str] = (), option: str = "--out", *, overwrite: bool = False) -> None:
    """Check that the output can be created.

    Args:
        path: Value of the option, or its default.
        suffixes: Allowed suffixes of a file; empty for a directory with a SavedModel.
        option: Name of the option.
        overwrite: Whether existing output may be replaced: a file by a file, a SavedModel by a SavedModel.

    Raises:
        click.BadParameter: If it exists, has another suffix, or cannot be created.
    """
    if suffixes and path.suffix not in suffixes:
        raise _bad(option, f"'{path}' must end in {' or '.join(suffixes)}.")
    try:
        exists, has_directory = path.exists(), path.parent.is_dir()
    except OSError as error:
        raise _bad(option, f"'{path}' cannot be written: {error.strerror}.") from None
    if exists and path.is_dir() and suffixes:
        raise _bad(option, f"'{path}' is a directory.")
    if exists and not suffixes and not _is_saved_model(path):
        raise _bad(option, f"'{path}' exists already, and is not a directory that holds only a SavedModel.")
    if exists and not overwrite:
        raise _bad(option, f"'{path}' exists already; --overwrite replaces it.")
    if not has_directory:
        raise _bad(option, f"'{path.parent}' is not a directory.")
    if not os.access(path.parent, os.W_OK):
        raise _bad(option, f"'{path.parent}' cannot be written to.")


def _is_saved_model(path: Path) -> bool:
    """Return whether a path is a directory, not a link, that holds a SavedModel and nothing else."""
    if path.is_symlink() or not path.is_dir():
        return False
    names = {entry.name for entry in path.iterdir()}
    return _SAVED_MODEL[0] in names and names <= set(_SAVED_MODEL)


def write_output(path: Path, write: Callable[[Path], _Result], *, overwrite: bool = False) -> _Result:
    """Create the output with ``write``, or leave existing output untouched.

    Args:
        path: Path of the output; it must not exist unless ``overwrite`` is set.
        write: Writes to the path it receives, a temporary one in the same directory with the same suffix.
        overwrite: Whether existing output is replaced.

    Returns:
        What ``write`` returned.

    Raises:
        click.ClickException: If it cannot be written.
    """
    try:
        return write_atomically(path, write, is_new=not overwrite)
    except OSError as error:
        raise click.ClickException(unwritable(error)) from None


def possible_directories(
    out: Path | None, default_name: str, directory_at: Callable[[Path], _Directory]
) -> list[_Directory]:
    """Return the requested directory, or those of the default names, with paths that no environment can change.

    Args:
        out: Value of ``--out``.
        default_name: Name below ``runs`` if ``out`` is None.
        directory_at: Returns the directory of a path.

    Raises:
        click.BadParameter: If the working directory is gone.
    """
    paths = [out] if out else [Path("runs") / f"{default_name}{suffix}" for suffix in ("", *range(-2, -100, -1))]
    try:
        return [directory_at(path) for path in paths]
    except OSError as error:
        raise _bad("--out", f"'{paths[0]}' cannot be written: {error.strerror}.") from None


def created_directory(possible: Sequence[_Directory], create: Callable[[_Directory], object]) -> _Directory:
    """Create the first directory that is free, and return it.

    Args:
        possible: What ``possible_directories`` returned.
        create: Creates the directory; raises a FileExistsError if it exists and is not empty.

    Raises:
        click.BadParameter: If it cannot be created.
    """
    for directory in possible:
        try:
            create(directory)
            return directory
        except FileExistsError:
            continue
        except OSError as error:
            raise _bad("--out", f"'{directory.shown_path}' cannot be written: {error.strerror}.") from None
    raise _bad("--out", f"'{possible[0].shown_path}' exists and is not an empty directory.")


def unwritable(error: OSError) -> str:
    """Return a sentence that says what could not be written and why."""
    if error.filename is None and error.errno is None:
        # Raised by a library, not by the system.
        return f"{error}"
    what = "the standard output" if error.filename is None else f"'{error.filename}'"
    return f"{what} cannot be written: {error.strerror or error}."


def _bad(option: str, message: str) -> click.BadParameter:
    return click.BadParameter(message, param_hint=f"'{option}'")
