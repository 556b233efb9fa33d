"""The command line of the agent. Nothing heavy is imported before a command runs."""

from __future__ import annotations

from typing import Any

import click
import cloup

from agent.commands.evaluate import evaluate
from agent.commands.export import export
from agent.commands.play import play
from agent.commands.plot import plot
from agent.commands.render import render
from agent.commands.sweep import sweep
from agent.commands.train import train


class _Commands(cloup.Group):
    """The commands; what they need and cannot import is one sentence."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was chosen."""
        try:
            return super().invoke(ctx)
        except ImportError as error:
            raise click.ClickException(f"the command cannot start: {error}") from error


@cloup.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True, "max_content_width": 100},
    show_constraints=False,
)
@click.version_option(package_name="fastppo", message="%(package)s %(version)s")
def main() -> None:
    """Train PPO on CartPole in seconds: Keras networks, a Numba CartPole bit-identical to Gymnasium's."""


for _command in (train, sweep, evaluate, render, play, plot, export):
    main.add_command(_command)
