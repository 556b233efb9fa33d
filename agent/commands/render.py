"""The command ``fastppo render``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import cloup

from ..runs.directory import RunDirectory
from .environment import check_drawing, described, environment_options, playing_told
from .epochs import caption_of, chosen_epochs, earlier_actors, epoch_option, recorded_run
from .model import environment_of, loaded_actor, model_argument, path_of_actor, policy_options
from .output import checked_output, overwrite_option, write_output

if TYPE_CHECKING:
    from ..environments.making import EnvironmentSource
    from ..environments.spec import EnvironmentSpec
    from ..process.backend import keras


@cloup.command()
@model_argument
@epoch_option("Train the run again and show the policies after these epochs side by side.", "the last policy")
@cloup.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    show_default="in the run directory",
    help="Animation to write: .gif or .mp4.",
)
@overwrite_option
@policy_options(seed=0)
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
    """Write an animation of an episode.

    The environment renders each frame, which requires pip install 'fastppo[rendering]'.

    RUN is a run directory; its last policy, actor.keras, is used. ACTOR.keras is any Keras model that maps observations
    to logits or, for continuous actions, to a dictionary of 'mean' and 'log_std'. A model in a run directory plays the
    environment of that run, any other plays CartPole; --env-id overrides both.
    """
    from ..views.animations import SUFFIXES, missing_packages

    epochs = chosen_epochs(epochs, more_epochs)
    if out is None:
        gif_path = RunDirectory(path).epochs_gif_path(epochs)
        out = path / gif_path.name if epochs else path_of_actor(path).with_suffix(".gif")
    missing = missing_packages(out.suffix.lower())
    if missing:
        raise click.UsageError(f"animations need {' and '.join(missing)}: pip install 'fastppo[rendering]'.")
    recorded = recorded_run(path, max(epochs)) if epochs else None
    checked_output(out, SUFFIXES, overwrite=overwrite)
    # The environment may change the working directory.
    target = out.absolute()
    if recorded is not None:
        source = environment_of(path, env_id, env_kwargs)
        spec = described(source)
        check_drawing(spec)
        actors = earlier_actors(recorded, epochs)
    else:
        trained = loaded_actor(path, env_id, env_kwargs)
        source, spec, actors = trained.source, trained.spec, [trained.model]
    check_drawing(spec)
    captions = [caption_of(epoch) for epoch in epochs]
    with playing_told(source):
        write_output(
            target, lambda path: _draw(path, source, spec, actors, captions, seed, greedy), overwrite=overwrite
        )
    click.echo(f"Saved in {out}")


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
    # Without a screen, the drawing library warns, although it needs none.
    with standard_error_held_back():
        write_animation(path, side_by_side(animations), frame_rate(spec))
