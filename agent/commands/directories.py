"""What the commands share that work in a directory of their own and can be interrupted and resumed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

import click

INTERRUPTED = 130
"""The exit code after Ctrl-C: that of a shell whose command was ended by this signal."""


class Lockable(Protocol):
    """The directory of a run or of a sweep."""

    path: Path

    def locked(self) -> AbstractContextManager[None]:
        """Keep other processes out; raises BlockingIOError if one is in."""


def lock_until_the_end(directory: Lockable) -> None:
    """Hold a directory until the command ends.

    Raises:
        click.UsageError: If another process does.
    """
    try:
        click.get_current_context().with_resource(directory.locked())
    except BlockingIOError:
        raise click.UsageError(f"another process is working in '{directory.path}'.") from None


def refuse_beside_resume(is_kept: Callable[[str], bool], what: str) -> None:
    """Refuse options that would make what is resumed something else.

    Args:
        is_kept: Tells of an option's name whether it is taken from what is resumed.
        what: What that is, for the message.

    Raises:
        click.UsageError: If one was given.
    """
    context = click.get_current_context()
    for parameter in context.command.params:
        name = parameter.name or ""
        if is_kept(name) and context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError(f"--resume takes {parameter.opts[0]} from the {what}; it cannot be given with it.")
