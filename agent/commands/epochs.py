"""Policies of earlier epochs: the option that names them, and the run that is trained again for them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click
import cloup

from ..runs.directory import Resumption, RunDirectory, is_run, named_example
from .options import integers_of_list

if TYPE_CHECKING:
    from ..config import PPOConfig
    from ..metrics import EpochMetrics
    from ..process.backend import keras


class RecordedRun(NamedTuple):
    """What a run directory says of a training."""

    config: PPOConfig
    metrics: list[EpochMetrics]
    resumptions: list[Resumption]


def epoch_option(help_text: str, default: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add ``--epoch N [N ...]``, as the parameters ``epochs`` and ``more_epochs``; ``chosen_epochs`` joins them.

    Args:
        help_text: What the epochs are for.
        default: What is used without the option.
    """
    option = cloup.option(
        "--epoch",
        "epochs",
        multiple=True,
        callback=_epochs,
        metavar="N [N ...]",
        show_default=default,
        help=f"{help_text} 0 is before training. For several, write RUN --epoch 0 8 20 or --epoch 0,8,20.",
    )
    # Options of click take a fixed number of values; what follows --epoch N are arguments.
    argument = cloup.argument("more_epochs", nargs=-1, callback=_epochs, metavar="")
    return lambda command: option(argument(command))


def _epochs(context: click.Context, parameter: click.Parameter, texts: tuple[str, ...]) -> list[int]:
    try:
        return [epoch for text in texts for epoch in integers_of_list(text, "0,8,20")]
    except ValueError as error:
        raise click.BadParameter(str(error), context, parameter) from None


def chosen_epochs(epochs: list[int], more_epochs: list[int]) -> list[int]:
    """Return all epochs that were named.

    Raises:
        click.UsageError: If there are arguments without ``--epoch`` before them.
    """
    if more_epochs and not epochs:
        raise click.UsageError(f"Got unexpected extra argument ({more_epochs[0]})")
    return [*epochs, *more_epochs]


def recorded_run(path: Path, last: int) -> RecordedRun:
    """Return what a run directory says of its training.

    Args:
        path: The run directory.
        last: The last epoch that is needed.

    Raises:
        click.UsageError: If it is no run directory or cannot be read.
        click.BadParameter: If the run has fewer epochs, or cannot be trained again.
    """
    run = RunDirectory(path)
    if path.is_dir() and not is_run(run):
        raise click.UsageError(f"--epoch needs a run directory, which '{path}' is not{named_example(path, is_run)}.")
    try:
        recorded = RecordedRun(run.read_config(), run.read_metrics(), run.read_resumptions())
        names = run.read_handed_over()
    except OSError as error:
        message = f"--epoch needs a run directory: {error.filename} cannot be read: {error.strerror}."
        raise click.UsageError(message) from None
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    if names:
        message = f"'{path}' was trained by a program with its own {' and '.join(names)}: it cannot be trained again."
        raise click.BadParameter(message, param_hint="'--epoch'")
    if last > len(recorded.metrics):
        raise click.BadParameter(f"{last} is beyond the last epoch, {len(recorded.metrics)}.", param_hint="'--epoch'")
    return recorded


def earlier_actors(recorded: RecordedRun, epochs: list[int]) -> list[keras.Model]:
    """Train a run again, showing progress, and return its actors after these epochs.

    Raises:
        click.ClickException: If an epoch differs from the recorded one.
    """
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    # The bar is for terminals; older versions of rich print an empty line elsewhere.
    console.quiet = not console.is_terminal
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("training again", total=max(epochs))
        from ..process.backend import hide_gpus
        from ..replay import actors_after

        if recorded.config.device == "cpu":
            hide_gpus()
        try:
            actors = actors_after(*recorded, epochs, lambda epoch: progress.update(task, completed=epoch))
        except ValueError as error:
            raise click.ClickException(str(error)) from None
    return [actors[epoch] for epoch in epochs]


def caption_of(epoch: int) -> str:
    """Return how a policy is labelled, such as ``"after epoch 8"``."""
    return f"after epoch {epoch}" if epoch else "before training"
