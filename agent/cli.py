"""The ``fastppo`` command. Nothing heavy is imported before a command runs."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click
import cloup

from .commands.evaluate import evaluate
from .commands.export import export
from .commands.output import unwritable
from .commands.play import play
from .commands.plot import plot
from .commands.render import render
from .commands.sweep import sweep
from .commands.train import train
from .errors import explained
from .process.surroundings import end_process, prepare_process


class _Added(click.Command):
    """A command of a package above this one, which is imported when the command runs and not before."""

    def __init__(self, name: str, module: str, help_text: str) -> None:
        super().__init__(name, help=help_text)
        self._module = module

    def load(self) -> click.Command:
        """Import the command."""
        command: click.Command = getattr(import_module(self._module), self.name or "")
        return command


class _Commands(cloup.Group):
    """The commands; what they need and cannot import is one sentence."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that was chosen, imported by now."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, command.load() if isinstance(command, _Added) else command, rest

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was chosen."""
        try:
            return super().invoke(ctx)
        except ImportError as error:
            raise click.ClickException(f"the command cannot start: {explained(error)}") from error


@cloup.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True, "max_content_width": 100},
    show_constraints=False,
)
@click.version_option(package_name="fastppo", message="%(package)s %(version)s")
def main() -> None:
    """Train PPO in Gymnasium's environments with Keras networks; CartPole, bit for bit Gymnasium's, in a second."""


for _command in (
    *(train, sweep, evaluate, render, play, plot, export),
    _Added("bench", "bench.cli", "Measure fastppo against its peers, side by side."),
):
    main.add_command(_command)


def run() -> None:
    """Run the ``fastppo`` command, as the console script does."""
    prepare_process()
    code: object = 0
    try:
        main()
    except SystemExit as end:
        code = end.code
    except OSError as error:
        if error.filename is not None:
            raise
        # A full disk, where the output goes to a file.
        code = 1
        click.echo(f"Error: {unwritable(error)}", err=True)
    end_process(code if isinstance(code, int) else int(code is not None))
