"""Small training runs for the tests of the commands."""

import csv

from click.testing import CliRunner

from bench.cli import main

SMALL = ("--envs", "8", "--steps-per-epoch", "512", "--hidden-sizes", "16", "--no-early-stop")
TELLING_TIME = {"steps_per_second", "elapsed_s"}


def invoke(*arguments):
    """Run a command in this process."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def message_of(result):
    """Return what a refused command says, on one line."""
    assert result.exit_code == 2, result.output
    return " ".join(result.stderr.split())


def metrics_of(directory):
    """Return the rows of metrics.csv without the columns that tell time."""
    with (directory / "metrics.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if k not in TELLING_TIME} for row in csv.DictReader(file)]
