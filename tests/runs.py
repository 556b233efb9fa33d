"""Small training runs for the tests of the commands."""

import csv
import sys
from importlib import import_module
from pathlib import Path
from unittest.mock import patch

import numpy as np
from agents import agents_taken_back, new_agent
from click.testing import CliRunner

from agent.cli import main

# The package attribute of the same name is the command, not the module.
train = import_module("agent.commands.train")

FASTPPO = str(Path(sys.executable).with_name("fastppo"))
SMALL = ("--envs", "8", "--steps-per-epoch", "512", "--hidden-sizes", "16", "--no-early-stop")
TELLING_TIME = {"steps_per_second", "elapsed_s"}


def invoke(*arguments):
    """Run a command in this process; training reuses the compiled code of an earlier agent if possible."""
    with agents_taken_back(), patch.object(train, "_prepared_agent", _prepared_agent):
        return CliRunner().invoke(main, [str(argument) for argument in arguments])


def _prepared_agent(config, *_):
    agent = new_agent(config)
    agent.compile()
    return agent


def message_of(result):
    """Return the error message of a command that was refused, on one line."""
    assert result.exit_code == 2, result.output
    return " ".join(result.stderr.split())


def metrics_of(directory):
    """Return the rows of metrics.csv without the columns that depend on time."""
    with (directory / "metrics.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if k not in TELLING_TIME} for row in csv.DictReader(file)]


def number_of_rows(directory):
    """Return how many epochs metrics.csv contains, 0 if it does not exist yet."""
    path = directory / "metrics.csv"
    return path.read_text().count("\n") - 1 if path.exists() else 0


def files_of(directory):
    """Return the contents of all files in a directory and its subdirectories."""
    return {path.relative_to(directory): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def let_act_by(actor, weights, scale=1e4):
    """Let an actor with two hidden layers choose action 1 if the weighted sum of the observation is above 0.

    Such a policy is not learned, and therefore the same on every processor. With the weights ``BALANCING`` it balances
    the pole forever, with ``LEANING`` for about 40 steps, and with the others for about 9.
    """
    first, first_bias, second, second_bias, last, last_bias = (np.zeros_like(array) for array in actor.get_weights())
    *sums, constant = weights
    first[:, 0], first_bias[0], second[0, 0], last[0] = sums, constant, 1.0, (-scale, scale)
    actor.set_weights([first, first_bias, second, second_bias, last, last_bias])


BALANCING = (0.05, 0.15, 1.0, 0.6, 0.0)
LEANING = (0.0, 0.0, 1.0, 0.0, 0.0)
TO_THE_RIGHT = (0.0, 0.0, 0.0, 0.0, 1.0)
TO_THE_LEFT = (0.0, 0.0, 0.0, 0.0, -1.0)


def assert_ended_alike(one, other):
    """Compare two finished runs bit by bit, except for times."""
    with np.load(one / "checkpoint.npz") as a, np.load(other / "checkpoint.npz") as b:
        assert a.files == b.files
        for name in set(a.files) - {"elapsed_s"}:
            assert a[name].tobytes() == b[name].tobytes(), name
    assert metrics_of(one) == metrics_of(other)
    assert (one / "evaluation.json").read_bytes() == (other / "evaluation.json").read_bytes()
