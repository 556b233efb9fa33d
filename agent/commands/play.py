"""The command ``fastppo play``."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
import cloup

from ..formatting import format_episode_return
from .environment import check_drawing, environment_options, playing_told
from .model import loaded_actor, model_argument, policy_options


@cloup.command()
@model_argument
@cloup.option("--episodes", type=click.IntRange(min=1), default=3, metavar="N", help="Number of episodes.")
@policy_options(seed=0)
@environment_options
def play(
    path: Path, episodes: int, seed: int, greedy: bool, env_id: str | None, env_kwargs: dict[str, Any] | None
) -> None:
    """Show episodes of a trained actor in a window, in real time.

    RUN is a run directory; its last policy, actor.keras, is used. ACTOR.keras is any Keras model that maps observations
    to logits or, for continuous actions, to a dictionary of 'mean' and 'log_std'. A model in a run directory plays the
    environment of that run, any other plays CartPole; --env-id overrides both.

    Close the window or press Ctrl-C to stop.
    """
    if not find_spec("pygame"):
        raise click.UsageError("a window needs pygame: pip install 'fastppo[rendering]'.")
    trained = loaded_actor(path, env_id, env_kwargs)
    if "human" not in trained.spec.render_modes:
        check_drawing(trained.spec)
    from ..views.window import NoScreenError, Window

    try:
        with playing_told(trained.source), Window(trained.source) as window:
            for episode in range(episodes):
                episode_return = window.play(trained.model, seed + episode, greedy=greedy)
                if episode_return is None:
                    return
                click.echo(f"episode {episode + 1}: return {format_episode_return(episode_return)}")
    except KeyboardInterrupt:
        return
    except NoScreenError as error:
        raise click.ClickException(f"{error}; 'fastppo render' writes a file instead.") from None
