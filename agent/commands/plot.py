"""The command ``fastppo plot``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
import cloup

from ..runs.directory import RunDirectory, is_run, named_example
from .output import checked_output, overwrite_option, write_output

if TYPE_CHECKING:
    from ..views.plots import Curve, XAxis

_SUFFIXES = (".png", ".svg", ".pdf")
_METAVAR = "RUN|SWEEP..."
_HINT = f"'{_METAVAR}'"


@cloup.command()
@cloup.argument(
    "paths", type=click.Path(path_type=Path, exists=True, file_okay=False), nargs=-1, required=True, metavar=_METAVAR
)
@cloup.option(
    "--out",
    type=click.Path(path_type=Path),
    default="learning_curves.png",
    metavar="FILE",
    help="Image file to write: .png, .svg or .pdf.",
)
@overwrite_option
@cloup.option(
    "--x",
    "x_axis",
    type=click.Choice(["steps", "seconds"]),
    default="steps",
    help="Plot over environment steps or over seconds of training.",
)
def plot(paths: tuple[Path, ...], out: Path, overwrite: bool, x_axis: XAxis) -> None:
    """Plot the learning curves of runs and sweeps.

    Runs that differ only in their seed share a line: their mean, with a band of one standard deviation. After a run has
    ended, its last value is used.
    """
    checked_output(out, _SUFFIXES, overwrite=overwrite)
    from ..sweeps.directory import SweepDirectory, named_sweep
    from ..sweeps.plots import curves_of_sweep
    from ..views.plots import curves_of_runs, has_returns, plot_curves

    runs: list[RunDirectory] = []
    curves: dict[str, list[Curve]] = {}
    try:
        for path in dict.fromkeys(paths):
            sweep = SweepDirectory(path)
            if sweep.plan_path.exists():
                curves |= curves_of_sweep(sweep, x_axis)
                continue
            run = RunDirectory(path)
            if not run.metrics_path.exists() and not is_run(run):
                hint = named_example(path, is_run) or named_sweep(path)
                raise ValueError(f"'{path}' is neither a run nor a sweep{hint}.")
            runs.append(run)
            if not has_returns(run):
                raise ValueError(f"no episode has ended in '{path}'.")
        curves = curves_of_runs(runs, x_axis) | curves
    except OSError as error:
        message = f"'{error.filename}' cannot be read: {error.strerror}."
        raise click.BadParameter(message, param_hint=_HINT) from None
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=_HINT) from None
    write_output(out, lambda path: plot_curves(curves, path, x_axis), overwrite=overwrite)
    click.echo(f"Saved in {out}")
