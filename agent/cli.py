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
    """A command whose module is imported only when the command runs: its package depends on this one."""

    def __init__(self, name: str, module: str, help_text: str) -> None:
        super().__init__(name, help=help_text)
        self._module = module

    def load(self) -> click.Command:
        """Import the command."""
        command: click.Command = getattr(import_module(self._module), self.name or "")
        return command


class _Commands(cloup.Group):
    """The commands; a failed import ends a command with one sentence instead of a traceback."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the chosen command, after importing it if necessary."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, command.load() if isinstance(command, _Added) else command, rest

    def invoke(self, ctx: click.Context) -> Any:
        """Run the chosen command."""
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
    """Train PPO agents with Keras networks in Gymnasium environments.

    CartPole runs in a compiled kernel that is bit-identical to Gymnasium's, and is solved in a fraction of a second of
    training.
    """


for _command in (
    *(train, sweep, evaluate, render, play, plot, export),
    _Added("bench", "bench.cli", "Benchmark fastppo against other libraries."),
):
    main.add_command(_command)


def run() -> None:
    """Run the ``fastppo`` command; the entry point of the console script."""
    prepare_process()
    code: object = 0
    try:
        main()
    except SystemExit as end:
        code = end.code
    except OSError as error:
        if error.filename is not None:
            raise
        # For example a full disk, when standard output is redirected to a file.
        code = 1
        click.echo(f"Error: {unwritable(error)}", err=True)
    end_process(code if isinstance(code, int) else int(code is not None))
