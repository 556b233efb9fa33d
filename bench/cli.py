"""The ``fastppo`` command: the agent's commands, and ``fastppo bench``."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING

import click

from agent.cli import main

if TYPE_CHECKING:
    from bench.harness import Measurement

__all__ = ["main", "run"]

FAMILIES = ("env", "rollout", "update", "train", "solve", "startup")


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
    show_default="1, 256 and 4096 for env, 256 for the others",
    metavar="N",
    help="Number of environments to measure with; may be given several times.",
)
@click.option(
    "--repeats", type=click.IntRange(min=1), default=7, metavar="N", help="Counted repetitions of each measurement."
)
@click.option(
    "--seeds", type=click.IntRange(min=1), default=20, metavar="N", help="Trainings of 'solve' for each --envs."
)
def bench(family: str, envs: tuple[int, ...], repeats: int, seeds: int) -> None:
    r"""Measure fastppo against its peers, side by side.

    \b
    env      environment steps against Gymnasium's CartPoles and a C loop; trajectories are first compared bit by bit
    rollout  the policy in the loop, against the Keras example's way, JAX with gymnax, and the machine's SGEMM peak
    update   one update of preset keras, against the example's way; results are compared first
    train    one epoch of preset keras against the example's, which takes half a minute; PureJaxRL's setting in both
    solve    training time and steps until preset fast has solved CartPole-v1, and the return it then gets
    startup  the whole command from the shell to the solved agent, its first run and later ones, and its memory

    Ours and the peer are measured in turn; the ratio is the median over neighbouring pairs. Peers that need packages
    which are not installed are named: pip install 'fastppo[bench-peers]'.
    """
    from bench.harness import MeasurementError, WrongResultError
    from bench.report import print_report

    measurements: list[Measurement] = []
    try:
        for chosen in FAMILIES if family == "all" else (family,):
            measurements.extend(_measured(chosen, envs, repeats, seeds))
    except MeasurementError as error:
        remark = " A wrong result is not timed." if isinstance(error, WrongResultError) else ""
        raise click.ClickException(f"{error}{remark}") from None
    finally:
        # Whatever ended the benchmark: what was measured is not lost.
        print_report(measurements)


def _measured(family: str, envs: tuple[int, ...], repeats: int, seeds: int) -> Iterator[Measurement]:
    """Measure one family of cases. Each family imports only what it measures."""
    from agent.quiet import standard_error_held_back

    with standard_error_held_back():
        module = import_module(f"bench.{family}")
    sizes = envs or ((1, 256, 4096) if family == "env" else (256,))
    if family == "update":
        yield module.measure(repeats)
    elif family == "solve":
        yield from module.measure(sizes, seeds)
    else:
        yield from module.measure(sizes, repeats)
