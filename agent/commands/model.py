"""The trained actor that a command is given."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import cloup

from ..runs.directory import RunDirectory

if TYPE_CHECKING:
    from ..process.backend import keras

_METAVAR = "RUN|ACTOR.keras"


def model_argument(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the argument ``path``: a run directory, or a Keras model in its place."""
    return cloup.argument("path", type=click.Path(path_type=Path, exists=True), metavar=_METAVAR)(command)


def policy_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--seed`` and ``--greedy/--sample``."""
    seed = cloup.option(
        "--seed", type=click.IntRange(min=0), default=0, metavar="N", help="Fixes initial states and actions."
    )
    greedy = cloup.option(
        "--greedy/--sample",
        default=True,
        help="Take the more probable action, or draw actions with the policy's probabilities.",
    )
    return seed(greedy(command))


def path_of_actor(path: Path) -> Path:
    """Return where the actor is that the argument names.

    Raises:
        click.BadParameter: If it names a directory without an actor.
    """
    if not path.is_dir():
        return path
    actor_path = RunDirectory(path).actor_path
    if not actor_path.exists():
        raise click.BadParameter(f"'{path}' holds no trained actor.", param_hint=f"'{_METAVAR}'")
    return actor_path


def loaded_actor(path: Path) -> keras.Model:
    """Return the actor that the argument names, TensorFlow's start-up remarks held back.

    Raises:
        click.BadParameter: If there is none, or it cannot be loaded.
    """
    from ..process.quiet import standard_error_held_back

    actor_path = path_of_actor(path)
    with standard_error_held_back():
        from ..learning.networks import load_actor
        from ..process.backend import hide_gpus
    hide_gpus()
    try:
        return load_actor(actor_path)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=f"'{_METAVAR}'") from None
