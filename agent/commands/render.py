"""The command ``fastppo render``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click
import cloup

from ..errors import DivergenceError
from ..runs.directory import Resumption, RunDirectory
from .environment import check_drawing, described, environment_options, sentence_of
from .model import environment_of, loaded_actor, model_argument, path_of_actor, policy_options
from .options import integers_of_list
from .output import checked_output, overwrite_option, write_output

if TYPE_CHECKING:
    from ..config import PPOConfig
    from ..environments.making import EnvironmentSource
    from ..environments.spec import EnvironmentSpec
    from ..metrics import EpochMetrics
    from ..process.backend import keras


def _epochs(context: click.Context, parameter: click.Parameter, texts: tuple[str, ...]) -> list[int]:
    try:
        return [epoch for text in texts for epoch in integers_of_list(text, "0,8,20")]
    except ValueError as error:
        raise click.BadParameter(str(error), context, parameter) from None


@cloup.command()
@model_argument
@cloup.option(
    "--epoch",
    "epochs",
    multiple=True,
    callback=_epochs,
    metavar="N [N ...]",
    show_default="the last policy",
    help="After how many epochs of the run, side by side; 0 is before the training. Several stand after RUN, or as "
    "0,8,20. The run is trained again, bit for bit, up to there.",
)
# What follows --epoch N: options of click take a fixed number of values.
@cloup.argument("more_epochs", nargs=-1, callback=_epochs, metavar="")
@cloup.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    show_default="in the run directory",
    help="Animation to write: .gif or .mp4.",
)
@overwrite_option
@policy_options
@environment_options
def render(
    path: Path,
    epochs: list[int],
    more_epochs: list[int],
    out: Path | None,
    overwrite: bool,
    seed: int,
    greedy: bool,
    env_id: str | None,
    env_kwargs: dict[str, Any] | None,
) -> None:
    """Draw an episode of a trained actor as an animation, as the environment draws itself.

    RUN is a run directory; any Keras model may take its place that gives the logits of actions for observations or,
    where actions are continuous, 'mean' and 'log_std'; with --env-id where it does not play CartPole.
    """
    from ..views.animations import SUFFIXES, missing_packages

    if more_epochs and not epochs:
        raise click.UsageError(f"Got unexpected extra argument ({more_epochs[0]})")
    epochs = [*epochs, *more_epochs]
    if out is None:
        out = RunDirectory(path).epochs_gif_path(epochs) if epochs else path_of_actor(path).with_suffix(".gif")
    missing = missing_packages(out.suffix.lower())
    if missing:
        raise click.UsageError(f"animations need {' and '.join(missing)}: pip install 'fastppo[rendering]'.")
    if epochs:
        recorded = _recorded(path, max(epochs))
        checked_output(out, SUFFIXES, overwrite=overwrite)
        source = environment_of(path, env_id, env_kwargs)
        spec = described(source)
        check_drawing(spec)
        actors = _earlier_actors(recorded, epochs)
    else:
        checked_output(out, SUFFIXES, overwrite=overwrite)
        trained = loaded_actor(path, env_id, env_kwargs)
        source, spec, actors = trained.source, trained.spec, [trained.model]
    check_drawing(spec)
    from ..environments.making import UnknownEnvironmentError

    captions = [f"after epoch {epoch}" if epoch else "before training" for epoch in epochs]
    try:
        write_output(out, lambda path: _draw(path, source, spec, actors, captions, seed, greedy), overwrite=overwrite)
    except UnknownEnvironmentError as error:
        raise click.ClickException(sentence_of(source, error)) from None
    except DivergenceError as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"Saved in {out}")


class _Recorded(NamedTuple):
    """What a run tells of its training."""

    config: PPOConfig
    metrics: list[EpochMetrics]
    resumptions: list[Resumption]


def _recorded(path: Path, last: int) -> _Recorded:
    """Return what a run tells that has so many epochs."""
    run = RunDirectory(path)
    try:
        recorded = _Recorded(run.read_config(), run.read_metrics(), run.read_resumptions())
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


def _earlier_actors(recorded: _Recorded, epochs: list[int]) -> list[keras.Model]:
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
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


def _draw(
    path: Path,
    source: EnvironmentSource,
    spec: EnvironmentSpec,
    actors: list[keras.Model],
    captions: list[str],
    seed: int,
    greedy: bool,
) -> None:
    from ..process.quiet import standard_error_held_back
    from ..views.animations import captioned, side_by_side, write_animation
    from ..views.rendering import episode_frames, frame_rate

    animations = [episode_frames(source, actor, seed, greedy=greedy) for actor in actors]
    if captions:
        animations = [captioned(frames, caption) for frames, caption in zip(animations, captions, strict=True)]
    # Where there is no screen, the drawing library says so although it needs none.
    with standard_error_held_back():
        write_animation(path, side_by_side(animations), frame_rate(spec))
