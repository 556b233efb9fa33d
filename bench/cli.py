"""The ``fastppo`` command: the agent's commands, and ``fastppo bench``."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from agent.cli import main

if TYPE_CHECKING:
    from bench.harness import Result

__all__ = ["main", "run"]

FAMILIES = ("env", "rollout", "update", "train")


def run() -> None:
    """Run the ``fastppo`` command, as the console script does.

    The process ends without the interpreter's cleanup: once TensorFlow is loaded, that takes a second.
    """
    code: object = 0
    try:
        main()
    except SystemExit as end:
        code = end.code
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            with suppress(BrokenPipeError):
                stream.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


@main.command()
@click.argument("family", type=click.Choice([*FAMILIES, "all"]), default="all")
@click.option(
    "--envs",
    type=click.IntRange(min=1),
    multiple=True,
    default=(1, 256, 4096),
    metavar="N",
    help="Batch size to measure environments at; may be given several times.",
)
@click.option(
    "--repeats", type=click.IntRange(min=1), default=7, metavar="N", help="Counted repetitions of each measurement."
)
def bench(family: str, envs: tuple[int, ...], repeats: int) -> None:
    r"""Measure fastppo against its peers, side by side.

    \b
    env      environment steps against Gymnasium's CartPoles and a C loop; trajectories are first compared bit by bit
    rollout  the policy in the loop, against the Keras example's way
    update   one update of preset keras, against the example's way; results are compared first
    train    one epoch of preset keras, against the example's, once: it takes half a minute

    Ours and the peer are measured in turn; the ratio is the median over neighbouring pairs.
    """
    from rich.console import Console
    from rich.table import Table

    from bench.harness import WrongResultError

    table = Table("envs", "ours", "per s", "against", "per s", "ratio", "min", "max")
    for column in table.columns:
        column.no_wrap = True
    for chosen in FAMILIES if family == "all" else (family,):
        try:
            for result in _measured(chosen, envs, repeats):
                table.add_row(*_cells(result))
        except WrongResultError as error:
            raise click.ClickException(f"{error} Nothing was measured.") from None
        table.add_section()
    # As wide as it needs, also where the output is not a terminal.
    Console(width=max(130, Console().width)).print(table)


def _measured(family: str, envs: tuple[int, ...], repeats: int) -> Iterator[Result]:
    """Measure one family of cases."""
    if family == "env":
        from bench.environment import check_against_gymnasium, measure

        for num_envs in envs:
            check_against_gymnasium(num_envs)
            yield from measure(num_envs, repeats)
        return
    from agent.quiet import standard_error_held_back

    with standard_error_held_back():
        from bench import keras_preset

    if family == "rollout":
        yield from keras_preset.measure_rollout(repeats)
    elif family == "update":
        yield from keras_preset.measure_update(repeats)
    else:
        yield from keras_preset.measure_epoch(repeats=1)


def _cells(result: Result) -> list[str]:
    comparison = result.comparison
    return [
        f"{result.num_envs:,}",
        result.case,
        _format_rate(comparison.ours_rate, result.unit),
        result.peer,
        _format_rate(comparison.peer_rate, result.unit),
        f"{comparison.median_ratio:.1f}",
        f"{min(comparison.ratios):.1f}",
        f"{max(comparison.ratios):.1f}",
    ]


def _format_rate(rate: float, unit: str) -> str:
    """Return a rate with three digits and its unit, such as ``1.53 M steps``."""
    for factor, prefix in ((1e6, "M "), (1e3, "k ")):
        if rate >= factor:
            return f"{rate / factor:.3g} {prefix}{unit}"
    return f"{rate:.3g} {unit}"
