"""The file that a command is to write."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import click


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


def _bad(option: str, message: str) -> click.BadParameter:
    return click.BadParameter(message, param_hint=f"'{option}'")
