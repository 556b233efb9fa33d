"""The file that a command is to write."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click


def checked_output(path: Path, suffixes: Sequence[str] = ()) -> Path:
    """Return the path, if a new file can be made there.

    Args:
        path: What the option ``--out`` says, or stands for.
        suffixes: How it may end; empty for anything.

    Raises:
        click.BadParameter: If it exists, ends otherwise, or is in no directory.
    """
    if suffixes and path.suffix.lower() not in suffixes:
        raise _bad(f"'{path}' must end in {' or '.join(suffixes)}.")
    if path.exists():
        raise _bad(f"'{path}' exists already.")
    if not path.parent.is_dir():
        raise _bad(f"'{path.parent}' is not a directory.")
    return path


def _bad(message: str) -> click.BadParameter:
    return click.BadParameter(message, param_hint="'--out'")
