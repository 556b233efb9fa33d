"""The ``fastppo`` command: the agent's commands, and ``fastppo bench``."""

from __future__ import annotations

import statistics

import click

from agent.cli import main

__all__ = ["main"]


@main.command()
@click.option(
    "--envs",
    type=click.IntRange(min=1),
    multiple=True,
    default=(1, 256, 4096),
    metavar="N",
    help="Batch size to measure; may be given several times.",
)
@click.option(
    "--repeats", type=click.IntRange(min=1), default=7, metavar="N", help="Counted repetitions of each measurement."
)
def bench(envs: tuple[int, ...], repeats: int) -> None:
    """Measure the environment against Gymnasium's own, side by side.

    Random actions, with autoreset, all results stored. Gymnasium's batched CartPole is stepped through the Gymnasium
    API; ours is too, or in compiled rollouts. Ours and the peer are measured in turn; the ratio is the median over
    neighbouring pairs. Trajectories are first compared with Gymnasium's, bit by bit.
    """
    from rich.console import Console
    from rich.table import Table

    from bench.environment import WrongResultError, check_against_gymnasium, measure

    table = Table("envs", "ours", "M steps/s", "against", "M steps/s", "ratio", "min", "max")
    for column in table.columns:
        column.no_wrap = True
    for num_envs in envs:
        try:
            check_against_gymnasium(num_envs)
        except WrongResultError as error:
            raise click.ClickException(f"{error} Nothing was measured.") from None
        for result in measure(num_envs, repeats):
            millions = result.steps / 1e6
            ratios = result.comparison.ratios
            table.add_row(
                f"{num_envs:,}",
                result.case,
                f"{millions / statistics.median(result.comparison.ours):.3f}",
                result.peer,
                f"{millions / statistics.median(result.comparison.peer):.3f}",
                f"{result.comparison.median_ratio:.1f}",
                f"{min(ratios):.1f}",
                f"{max(ratios):.1f}",
            )
        table.add_section()
    # As wide as it needs, also where the output is not a terminal.
    Console(width=max(130, Console().width)).print(table)
