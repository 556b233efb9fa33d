"""``fastppo bench``."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import click
import cloup

from agent.commands.directories import INTERRUPTED
from agent.commands.output import checked_output, overwrite_option, write_output

if TYPE_CHECKING:
    from bench.results import Measurement
    from bench.tasks import Session, Task

_DEFAULT_FAMILIES = {
    "env": "environment steps with random actions",
    "rollout": "rollouts with the policy in the loop",
    "update": "one update of preset keras",
    "train": "training: steps per second",
    "solve": "training until CartPole-v1 is solved, over seeds: time and steps",
    "startup": "the whole command: first run, later runs, peak memory",
}
# These take long, so 'all' leaves them out.
_OPTIONAL_FAMILIES = {
    "gymnasium": "training in Acrobot-v1 and LunarLander-v3",
    "scaling": "cost of a step by number of environments and of threads",
}
FAMILIES = tuple(_DEFAULT_FAMILIES)
ON_REQUEST = tuple(_OPTIONAL_FAMILIES)


def _list_of(families: dict[str, str]) -> str:
    """Return a list of families and their descriptions, one per line, marked so that Click does not rewrap it."""
    return "\b\n" + "\n".join(f"{name:<10} {description}" for name, description in families.items())


_HELP = f"""Benchmark fastppo against other libraries.

FAMILY is one of the following. Without it, or with 'all', these six are measured:

{_list_of(_DEFAULT_FAMILIES)}

Two more take long and run only if you name them:

{_list_of(_OPTIONAL_FAMILIES)}

Results are checked against Gymnasium and Keras before anything is timed; an implementation with wrong results is not
timed. Peers that are not installed are listed as not measured; pip install 'fastppo[bench-peers]' installs them.
"""
# Lets a benchmark of all default families finish within three minutes.
_BUDGET_OF_ALL_S = 155.0
# How the families share the budget.
_WEIGHTS = {"env": 4.0, "rollout": 2.0, "update": 1.0, "train": 2.0, "solve": 3.0, "startup": 3.0}


def run_family(family: str) -> None:
    """Measure one family with the options on the command line, as ``python -m bench.FAMILY`` does."""
    bench.main(args=[family, *sys.argv[1:]], prog_name=f"python -m bench.{family}")


@cloup.command(show_constraints=False, help=_HELP)
@cloup.argument("family", type=click.Choice([*FAMILIES, *ON_REQUEST, "all"]), default="all", metavar="[FAMILY]")
@cloup.option(
    "--envs",
    type=click.IntRange(min=1),
    multiple=True,
    show_default="1, 256, 4096 and 65536 for env, 4, 8, 64, 256 and 1024 for solve, 256 for the others",
    metavar="N",
    help="Number of environments to measure with; can be given several times.",
)
@cloup.option(
    "--repeats", type=click.IntRange(min=1), default=7, metavar="N", help="Maximum number of rounds per case."
)
@cloup.option(
    "--seeds",
    type=click.IntRange(min=1),
    default=20,
    metavar="N",
    help="Maximum number of training runs in 'solve'; a quarter as many for preset keras and Stable-Baselines3.",
)
@cloup.option(
    "--time-budget",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    show_default=f"{_BUDGET_OF_ALL_S:.0f} for all, none for a family",
    help="Skip measurements that have not started within this time. A measurement that has started always completes "
    "start-up, compilation and 3 rounds.",
)
@cloup.option("--json", "json_path", type=click.Path(path_type=Path), metavar="FILE", help="Write all results as JSON.")
@cloup.option("--markdown", type=click.Path(path_type=Path), metavar="FILE", help="Write the tables as Markdown.")
@cloup.option(
    "--plot",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Also measure 'scaling', and plot it to this .png, .svg or .pdf file.",
)
@overwrite_option
def bench(
    family: str,
    envs: tuple[int, ...],
    repeats: int,
    seeds: int,
    time_budget: float | None,
    json_path: Path | None,
    markdown: Path | None,
    plot: Path | None,
    overwrite: bool,
) -> None:
    """Measure, print the report, and write the requested files."""
    for path, option, suffixes in (
        (json_path, "--json", (".json",)),
        (markdown, "--markdown", (".md",)),
        (plot, "--plot", (".png", ".svg", ".pdf")),
    ):
        if path is not None:
            checked_output(path, suffixes, option, overwrite=overwrite)
    if time_budget is None:
        time_budget = _BUDGET_OF_ALL_S if family == "all" else math.inf
    families = FAMILIES if family == "all" else (family,)
    if plot is not None and "scaling" not in families:
        families = (*families, "scaling")
    measurements: list[Measurement] = []
    try:
        _measure(families, envs, repeats, seeds, time_budget, measurements)
    finally:
        # However the benchmark ends, what has been measured is not lost.
        _report(measurements, json_path, markdown, plot, overwrite)


def _measure(
    families: tuple[str, ...],
    envs: tuple[int, ...],
    repeats: int,
    seeds: int,
    time_budget_s: float,
    measurements: list[Measurement],
) -> None:
    """Measure, and append the results to ``measurements`` as they arrive."""
    from rich.progress import Progress

    from bench.harness import Processes
    from bench.process import MeasurementError
    from bench.tasks import Session, run_tasks

    with Processes() as processes, Progress(transient=True) as progress:
        session = Session(processes, envs, repeats, seeds)
        tasks = [task for family in families for task in _tasks(family, session)]
        bar = progress.add_task("measuring", total=None)
        try:
            for measurement in run_tasks(tasks, time_budget_s):
                measurements.append(measurement)
                progress.update(bar, description=f"measured: {measurement.family}, {measurement.case}")
        except MeasurementError as error:
            raise click.ClickException(str(error)) from None
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            raise SystemExit(INTERRUPTED) from None


def _tasks(family: str, session: Session) -> list[Task]:
    """Return the tasks of one family, with weights that sum to the family's weight."""
    tasks: list[Task] = import_module(f"bench.{family}").tasks(session)
    scale = _WEIGHTS.get(family, 1.0) / sum(task.weight for task in tasks)
    return [dataclasses.replace(task, weight=scale * task.weight) for task in tasks]


def _report(
    measurements: list[Measurement], json_path: Path | None, markdown: Path | None, plot: Path | None, overwrite: bool
) -> None:
    """Print the report, and write the requested files."""
    from bench.machine import describe
    from bench.report import as_markdown, print_report
    from bench.results import as_json

    machine = describe()
    print_report(measurements, machine)
    if json_path is not None:
        content = json.dumps(as_json(measurements, machine), indent=2, allow_nan=False) + "\n"
        _write_text(json_path, content, overwrite)
    if markdown is not None:
        _write_text(markdown, as_markdown(measurements, machine), overwrite)
    if plot is not None:
        from bench.plot import plot_scaling

        write_output(plot, lambda path: plot_scaling(measurements, path), overwrite=overwrite)


def _write_text(path: Path, text: str, overwrite: bool) -> None:
    write_output(path, lambda temporary: temporary.write_text(text, encoding="utf-8"), overwrite=overwrite)
