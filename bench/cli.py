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
    """Measure the environment against Gymnasium's own batched CartPole, side by side.

    Both are stepped through the Gymnasium API with random actions and autoreset, in turn; the ratio is the median over
    neighbouring pairs. Trajectories are first compared with Gymnasium's SyncVectorEnv, bit by bit.
    """
    from rich.console import Console
    from rich.table import Table

    from bench.environment import check_against_gymnasium, measure

    check_against_gymnasium()
    table = Table("environments", "ours, M steps/s", "Gymnasium, M steps/s", "ratio", "min", "max")
    for column in table.columns:
        column.justify = "right"
    for num_envs in envs:
        result = measure(num_envs, repeats)
        steps = result.num_envs * result.num_steps / 1e6
        table.add_row(
            f"{num_envs:,}",
            f"{steps / statistics.median(result.comparison.ours):.3f}",
            f"{steps / statistics.median(result.comparison.peer):.3f}",
            f"{result.comparison.median_ratio:.1f}",
            f"{min(result.comparison.ratios):.1f}",
            f"{max(result.comparison.ratios):.1f}",
        )
    Console().print(table)
