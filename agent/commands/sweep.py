"""The command ``fastppo sweep``."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import cloup

from ..config import CHOICES
from ..formatting import format_number
from ..presets import PRESETS
from ..runs.next_commands import command
from ..sweeps.grid import Key, Run, label_of, parsed_seeds, parsed_setting, runs_of
from .directories import INTERRUPTED, lock_until_the_end, refuse_beside_resume
from .environment import ENV_ID_HINT, described, env_id_option, env_kwargs_option
from .output import created_directory, possible_directories, unwritable

if TYPE_CHECKING:
    from rich.table import Table

    from ..config import Vectorization
    from ..sweeps.directory import Plan, SweepDirectory
    from ..sweeps.engine import Backend, Workers
    from ..sweeps.statistics import Estimate, Summary
    from ..sweeps.sweeping import OnResult, Result, SweepResult
    from ..sweeps.worker import Outcome

_WIDTH_OF_A_FILE = 200
# Options that --resume takes from the sweep.
_OF_THE_SWEEP = ("preset", "seeds", "settings", "env_kwargs", "vectorization", "out")
_CAPTION = (
    "With 95% bootstrap intervals, over the runs that did not fail. The optimality gap is the mean shortfall from the "
    "target return; steps and seconds are medians over the runs that ended early because they reached it."
)
_RETURNS = ("setting", "runs", "interquartile\nmean", "mean", "median")
_SOLVING = ("setting", "solved", "optimality\ngap", "steps\nto solve", "seconds\nto solve")


def _seeds(context: click.Context, parameter: click.Parameter, text: str) -> tuple[int, ...]:
    try:
        return parsed_seeds(text)
    except ValueError as error:
        raise click.BadParameter(str(error), context, parameter) from None


def _settings(context: click.Context, parameter: click.Parameter, texts: tuple[str, ...]) -> dict[str, tuple[Any, ...]]:
    settings: dict[str, tuple[Any, ...]] = {}
    for text in texts:
        try:
            name, values = parsed_setting(text)
        except ValueError as error:
            raise click.BadParameter(str(error), context, parameter) from None
        if name in settings:
            raise click.BadParameter(f"{name} is set twice.", context, parameter)
        settings[name] = values
    return settings


@cloup.command(show_constraints=False)
@cloup.option_group(
    "What to train",
    cloup.option("--preset", type=click.Choice(list(PRESETS)), default="fast", help="Settings to start from."),
    cloup.option(
        "--seeds",
        default="0:8",
        metavar="A:B|N,N,...",
        callback=_seeds,
        help="Seeds from A to B - 1, like Python's range, or a list.",
    ),
    cloup.option(
        "--set",
        "settings",
        multiple=True,
        metavar="NAME=VALUE,...",
        callback=_settings,
        help="Values to try for a setting, such as gamma=0.98,0.99 or hidden-sizes=64x64,32. NAME is a field of "
        "PPOConfig, envs, or lr, which sets both learning rates. Can be repeated: all combinations are trained.",
    ),
    env_id_option(
        "Environment of all runs. MODULE is imported first and may be in the current folder.",
        show_default="CartPole-v1",
    ),
    env_kwargs_option(),
    cloup.option(
        "--vectorization",
        type=click.Choice(CHOICES["vectorization"]),
        show_default="auto",
        help="How environments are vectorized, as in gymnasium.make_vec.",
    ),
    cloup.option(
        "--out",
        type=click.Path(path_type=Path),
        metavar="DIR",
        show_default="runs/sweep-PRESET-TIME",
        help="Sweep directory to write; must be new or empty.",
    ),
    cloup.option(
        "--resume",
        type=click.Path(path_type=Path, file_okay=False, exists=True),
        metavar="DIR",
        help="Resume the sweep in this directory: train the remaining runs and those that failed.",
    ),
)
@cloup.option_group(
    "Where to train",
    cloup.option(
        "--jobs", type=click.IntRange(min=1), metavar="N", show_default="all cores", help="Number of parallel runs."
    ),
    cloup.option(
        "--backend",
        type=click.Choice(["loky", "ray", "dask"]),
        default="loky",
        help="loky: processes on this machine. ray, dask: a cluster; requires pip install 'fastppo[ray]' or "
        "'fastppo[dask]'.",
    ),
    cloup.option(
        "--address", metavar="HOST:PORT", show_default="one is started on this machine", help="Address of the cluster."
    ),
)
def sweep(
    preset: str,
    seeds: tuple[int, ...],
    settings: dict[str, tuple[Any, ...]],
    env_id: str | None,
    env_kwargs: dict[str, Any] | None,
    vectorization: Vectorization | None,
    out: Path | None,
    resume: Path | None,
    jobs: int | None,
    backend: Backend,
    address: str | None,
) -> None:
    """Train with many seeds and settings and report statistics.

    Every combination of settings is trained with every seed; workers reuse compiled code where the settings allow it.
    The directory holds results.csv and curves.csv, which grow as runs end, summary.json, learning_curves.png and
    performance_profile.png. The statistics follow Agarwal et al. 2021: interquartile mean, mean, median and optimality
    gap with 95% bootstrap intervals.

    Ctrl-C ends the sweep; --resume continues it. A failed run is reported and does not end the sweep.
    """
    if address is not None and backend == "loky":
        raise click.UsageError("--address is for a cluster: it needs --backend ray or --backend dask.")
    from ..environments.making import source_of
    from ..sweeps.directory import Plan, SweepDirectory
    from ..sweeps.engine import Workers, check_workers

    workers = Workers(-1 if jobs is None else jobs, backend, address)
    try:
        check_workers(workers)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="'--address'") from None
    except ImportError as error:
        raise click.UsageError(f"{error}.") from None
    if resume is None:
        from ..sweeps.sweeping import given_environment

        plan = Plan(preset, seeds, settings, given_environment(env_id, env_kwargs, vectorization))
        directory, runs = _new_sweep(plan, out)
        known: dict[Key, Outcome] = {}
        lock_until_the_end(directory)
    else:
        refuse_beside_resume(_OF_THE_SWEEP.__contains__, "sweep")
        directory = SweepDirectory(resume)
        lock_until_the_end(directory)
        runs, known = _reopened(directory)
        if env_id not in (None, runs[0].config.env_id):
            message = f"'{resume}' trains in {runs[0].config.env_id}, not in {env_id}."
            raise click.BadParameter(message, param_hint=ENV_ID_HINT)
        described(source_of(runs[0].config))
    _train(runs, known, directory, workers)


def _new_sweep(plan: Plan, out: Path | None) -> tuple[SweepDirectory, list[Run]]:
    """Create the directory of a new sweep, after checking everything."""
    from ..environments.making import source_of
    from ..environments.spec import resolved
    from ..memory import assert_training_fits_memory
    from ..sweeps.directory import SweepDirectory

    name = f"sweep-{plan.preset}-{time.strftime('%Y%m%d-%H%M%S')}"
    possible = possible_directories(out, name, SweepDirectory)
    try:
        runs = runs_of(*plan)
        spec = described(source_of(runs[0].config), builds_networks=True)
        source_of(runs[0].config).assert_can_batch()
        for run in runs:
            assert_training_fits_memory(resolved(run.config, spec), spec.observation_size)
    except (MemoryError, TypeError, ValueError) as error:
        raise click.UsageError(str(error)) from None

    fields = list(runs[0].settings)
    return created_directory(possible, lambda directory: directory.create(plan, fields)), runs


def _reopened(directory: SweepDirectory) -> tuple[list[Run], dict[Key, Outcome]]:
    """Prepare a sweep to be continued; return its runs and the known outcomes."""
    from ..sweeps.directory import named_sweep

    path = directory.shown_path
    try:
        if not directory.plan_path.exists():
            raise ValueError(f"'{path}' is not a sweep{named_sweep(path) or ': it holds no sweep.json'}.")
        runs = runs_of(*directory.read_plan())
        return runs, directory.reopen(runs)
    except OSError as error:
        reason = f"{error.filename} cannot be read or written: {error.strerror}"
        message = f"'{path}' is not a sweep: {reason}."
        raise click.BadParameter(message, param_hint="'--resume'") from None
    except (TypeError, ValueError) as error:
        raise click.BadParameter(str(error), param_hint="'--resume'") from None


def _train(runs: list[Run], known: dict[Key, Outcome], directory: SweepDirectory, workers: Workers) -> None:
    """Train the remaining runs, show each as it ends, and report the results."""
    from ..sweeps.engine import ClusterError, quiet_workers
    from ..sweeps.sweeping import report, train_all

    to_continue = f"To continue: {command('sweep --resume', directory.shown_path, runs[0].config.env_id)}"
    try:
        with quiet_workers(workers), _shown(len(runs), len(known)) as show:
            result = train_all(runs, known, directory, workers, show)
        report(result, directory)
    except KeyboardInterrupt:
        click.echo(f"Interrupted. {to_continue}", err=True)
        raise SystemExit(INTERRUPTED) from None
    except ClusterError as error:
        raise click.ClickException(f"{error} {to_continue}") from None
    except OSError as error:
        raise click.ClickException(f"{unwritable(error)} {to_continue}") from None
    _print_tables(result)
    click.echo(f"Saved in {directory.shown_path}")
    for run, failure in result.failures:
        click.echo(f"Error: seed {run.config.seed}, {label_of(run)}: {failure.reason}", err=True)
    if result.failures:
        raise SystemExit(1)


@contextmanager
def _shown(total: int, ended: int) -> Iterator[OnResult]:
    """Show each run as it ends: above a progress bar on a terminal, otherwise line by line."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(highlight=False)
    columns = (TextColumn("runs"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("runs", total=total, completed=ended)

        def show(result: Result) -> None:
            progress.advance(task)
            progress.console.print(_line(result), markup=False, soft_wrap=True)

        yield show


def _line(result: Result) -> str:
    from ..sweeps.worker import Failure

    run, outcome = result
    head = f"seed {run.config.seed:>4}  {label_of(run)}  "
    if isinstance(outcome, Failure):
        return f"{head}failed: {outcome.reason}"
    solved = {True: "solved", False: "not solved", None: ""}[outcome.solved]
    final_return = format_number(outcome.final_return)
    figures = f"return {final_return:>8}  {outcome.env_steps:>9,} steps  {outcome.train_s:7.2f} s"
    return f"{head}{figures}  {solved}".rstrip()


def _print_tables(result: SweepResult) -> None:
    """Print the results of each setting as two tables, each of which fits 80 columns."""
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_WIDTH_OF_A_FILE)
    summaries = result.summaries()
    console.print(_table(_RETURNS, {label: _returns(summary) for label, summary in summaries.items()}))
    console.print()
    solving = _table(_SOLVING, {label: _solving(summary) for label, summary in summaries.items()})
    solving.caption = _CAPTION
    console.print(solving)


def _table(headings: Sequence[str], rows: Mapping[str, Sequence[str]]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, caption_justify="left")
    for heading in headings:
        # Long labels are wrapped, numbers never.
        if heading == headings[0]:
            table.add_column(heading, vertical="top", overflow="fold")
        else:
            table.add_column(heading, vertical="top", justify="right", no_wrap=True)
    for label, cells in rows.items():
        table.add_row(label, *cells)
    return table


def _returns(summary: Summary) -> list[str]:
    returns = (summary.interquartile_mean, summary.mean, summary.median)
    return [
        f"{summary.runs}\n({summary.failed_share:.0%} failed)" if summary.failed else str(summary.runs),
        *(_shown_estimate(estimate, format_number) for estimate in returns),
    ]


def _solving(summary: Summary) -> list[str]:
    is_of_some = summary.ended_early not in (0, summary.runs)
    of_how_many = f"\n({summary.ended_early} of {summary.runs} runs)" if is_of_some else ""
    return [
        _shown_estimate(summary.solved, "{:.0%}".format),
        _shown_estimate(summary.optimality_gap, format_number),
        _shown_estimate(summary.steps_to_solve, "{:,.0f}".format) + of_how_many,
        _shown_estimate(summary.seconds_to_solve, "{:.2f}".format) + of_how_many,
    ]


def _shown_estimate(estimate: Estimate | None, form: Callable[[float], str]) -> str:
    """Return a value and, on the next line, its interval, such as ``[-82.1, -74.9]``."""
    if estimate is None:
        return "-"
    if math.isnan(estimate.low):
        return form(estimate.value)
    return f"{form(estimate.value)}\n[{form(estimate.low)}, {form(estimate.high)}]"
