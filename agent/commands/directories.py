"""Shared parts of the commands that write a directory and can be interrupted and resumed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

import click

INTERRUPTED = 130
"""The exit code after Ctrl-C, as shells report it: 128 plus the number of the signal."""


class Lockable(Protocol):
    """The directory of a run or of a sweep."""

    shown_path: Path

    def locked(self) -> AbstractContextManager[None]:
        """Keep other processes out; raise BlockingIOError if one holds the lock."""


def lock_until_the_end(directory: Lockable) -> None:
    """Lock a directory until the command ends.

    Raises:
        click.UsageError: If another process holds the lock.
    """
    try:
        click.get_current_context().with_resource(directory.locked())
    except BlockingIOError:
        raise click.UsageError(f"another process is working in '{directory.shown_path}'.") from None


def refuse_beside_resume(is_kept: Callable[[str], bool], what: str) -> None:
    """Reject options that cannot be combined with ``--resume``.

    Args:
        is_kept: Returns whether the option of this name is taken from the resumed run or sweep.
        what: ``"run"`` or ``"sweep"``, for the message.

    Raises:
        click.UsageError: If such an option was given.
    """
    context = click.get_current_context()
    for parameter in context.command.params:
        name = parameter.name or ""
        if is_kept(name) and context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError(f"--resume takes {parameter.opts[0]} from the {what}; it cannot be given with it.")
