"""The command ``fastppo eval``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click
import cloup

from .model import loaded_actor, model_argument, policy_options
from .options import MOST_ENVIRONMENTS

if TYPE_CHECKING:
    from ..rollouts.evaluation import Environment


@cloup.command("eval")
@model_argument
@cloup.option(
    "--episodes", type=click.IntRange(1, MOST_ENVIRONMENTS), default=100, metavar="N", help="Number of episodes."
)
@policy_options
@cloup.option(
    "--env",
    "environment",
    type=click.Choice(["gymnasium", "fast"]),
    default="gymnasium",
    help="Whose CartPole-v1: Gymnasium's own, or fastcartpole's, which gives the same returns.",
)
@cloup.option("--json", "as_json", is_flag=True, help="Print one JSON object, with the return of every episode.")
def evaluate(path: Path, episodes: int, greedy: bool, environment: Environment, seed: int, as_json: bool) -> None:
    """Play episodes with a trained actor and report their returns.

    RUN is a run directory; any Keras model with 4 inputs and 2 outputs, the actions' logits, may stand in its place.
    Every episode has an environment of its own and is played to its end: short episodes do not count more often.
    """
    from ..views.console import print_evaluation

    actor = loaded_actor(path)
    from ..rollouts import evaluation

    try:
        result = evaluation.evaluate(actor, episodes=episodes, seed=seed, greedy=greedy, environment=environment)
    except MemoryError as error:
        raise click.ClickException(str(error)) from None
    if as_json:
        click.echo(json.dumps({**result.as_dict(), "returns": list(result.returns)}))
    else:
        print_evaluation(result, greedy=greedy, environment=environment)
