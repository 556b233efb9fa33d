"""The file that a command is to write."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
import cloup

from ..runs.files import write_atomically

_Result = TypeVar("_Result")
# What a directory with TensorFlow's SavedModel holds, the first of them always.
_SAVED_MODEL = ("saved_model.pb", "fingerprint.pb", "keras_metadata.pb", "variables", "assets")


def overwrite_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--overwrite``."""
    return cloup.option("--overwrite", is_flag=True, help="Replace what is there from before.")(command)


def checked_output(path: Path, suffixes: Sequence[str] = (), option: str = "--out", *, overwrite: bool = False) -> None:
    """Check that a file can be made there.

    Args:
        path: What the option says, or stands for.
        suffixes: How a file may end; empty where it is a directory with a SavedModel.
        option: Its name.
        overwrite: Whether what is there may be replaced: a file by a file, a SavedModel by a SavedModel.

    Raises:
        click.BadParameter: If it exists, ends otherwise, or cannot be made.
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
        raise _bad(option, f"'{path}' exists already, and is no directory with a SavedModel and nothing else.")
    if exists and not overwrite:
        raise _bad(option, f"'{path}' exists already; --overwrite replaces it.")
    if not has_directory:
        raise _bad(option, f"'{path.parent}' is not a directory.")
    if not os.access(path.parent, os.W_OK):
        raise _bad(option, f"nothing can be written into '{path.parent}'.")


def _is_saved_model(path: Path) -> bool:
    """Return whether a path is a directory of its own that holds a SavedModel and nothing else."""
    if path.is_symlink() or not path.is_dir():
        return False
    names = {entry.name for entry in path.iterdir()}
    return _SAVED_MODEL[0] in names and names <= set(_SAVED_MODEL)


def write_output(path: Path, write: Callable[[Path], _Result], *, overwrite: bool = False) -> _Result:
    """Let ``write`` make the file, or leave what is there.

    Args:
        path: Where it goes; nothing may be there unless ``overwrite``.
        write: Is given a temporary path beside it, which has the same suffix.
        overwrite: Whether what is there is replaced.

    Returns:
        What ``write`` returned.

    Raises:
        click.ClickException: If it cannot be written.
    """
    try:
        return write_atomically(path, write, is_new=not overwrite)
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
