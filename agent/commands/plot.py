"""The command ``fastppo plot``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
import cloup

from ..runs.directory import RunDirectory
from .output import checked_output, overwrite_option, write_output

if TYPE_CHECKING:
    from ..views.plots import XAxis

_SUFFIXES = (".png", ".svg", ".pdf")


@cloup.command()
@cloup.argument(
    "paths", type=click.Path(path_type=Path, exists=True, file_okay=False), nargs=-1, required=True, metavar="RUN..."
)
@cloup.option(
    "--out",
    type=click.Path(path_type=Path),
    default="learning_curves.png",
    metavar="FILE",
    help="Image to write: .png, .svg or .pdf.",
)
@overwrite_option
@cloup.option(
    "--x",
    "x_axis",
    type=click.Choice(["steps", "seconds"]),
    default="steps",
    help="Draw over environment steps or over seconds of training.",
)
def plot(paths: tuple[Path, ...], out: Path, overwrite: bool, x_axis: XAxis) -> None:
    """Draw the learning curves of one or many runs.

    Runs that differ in nothing but the seed share a line: their mean, in a band of one standard deviation. A run that
    ended before others of its setting counts with its last value from there on.
    """
    checked_output(out, _SUFFIXES, overwrite=overwrite)
    from ..views.plots import has_returns, plot_learning_curves

    runs = [RunDirectory(path) for path in dict.fromkeys(paths)]
    try:
        for run in runs:
            if not has_returns(run):
                raise click.BadParameter(f"no episode has ended in '{run.path}'.", param_hint="'RUN...'")
            run.read_config()
    except OSError as error:
        message = f"'{error.filename}' cannot be read: {error.strerror}."
        raise click.BadParameter(message, param_hint="'RUN...'") from None
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="'RUN...'") from None
    write_output(out, lambda path: plot_learning_curves(runs, path, x_axis), overwrite=overwrite)
    click.echo(f"Saved in {out}")
