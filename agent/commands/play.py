"""The command ``fastppo play``."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import click
import cloup

from .model import loaded_actor, model_argument, policy_options


@cloup.command()
@model_argument
@cloup.option("--episodes", type=click.IntRange(min=1), default=3, metavar="N", help="Number of episodes.")
@policy_options
def play(path: Path, episodes: int, seed: int, greedy: bool) -> None:
    """Show episodes of a trained actor in a window, in real time.

    RUN is a run directory; any Keras model with 4 inputs and 2 outputs, the actions' logits, may stand in its place.
    Closing the window, or Ctrl-C, ends it.
    """
    if not find_spec("pygame"):
        raise click.UsageError("a window needs pygame: pip install 'fastppo[rendering]'.")
    actor = loaded_actor(path)
    from ..views.window import NoScreenError, Window

    try:
        with Window() as window:
            for episode in range(episodes):
                length = window.play(actor, seed + episode, greedy=greedy)
                if length is None:
                    return
                click.echo(f"episode {episode + 1}: return {length}")
    except KeyboardInterrupt:
        return
    except NoScreenError as error:
        raise click.ClickException(f"{error}; 'fastppo render' writes a file instead.") from None
