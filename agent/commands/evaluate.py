"""The command ``fastppo eval``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import cloup

from .environment import environment_options, playing_told
from .model import loaded_actor, model_argument, policy_options
from .options import MAX_ENVIRONMENTS, Count

if TYPE_CHECKING:
    from ..rollouts.evaluation import Environment


@cloup.command("eval")
@model_argument
@cloup.option(
    "--episodes",
    type=Count(1, MAX_ENVIRONMENTS),
    metavar="N",
    show_default="that of the run's evaluation, else 100",
    help="Number of episodes.",
)
@policy_options(seed=None)
@environment_options
@cloup.option(
    "--env",
    "environment",
    type=click.Choice(["gymnasium", "fast"]),
    default="gymnasium",
    help="Implementation of CartPole: Gymnasium's, or 'fast' for fastcartpole's, which gives the same returns.",
)
@cloup.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object that includes the return of every episode."
)
def evaluate(
    path: Path,
    episodes: int | None,
    greedy: bool,
    seed: int | None,
    env_id: str | None,
    env_kwargs: dict[str, Any] | None,
    environment: Environment,
    as_json: bool,
) -> None:
    """Evaluate a trained actor and report its returns.

    RUN is a run directory; its last policy, actor.keras, is used. ACTOR.keras is any Keras model that maps observations
    to logits or, for continuous actions, to a dictionary of 'mean' and 'log_std'. A model in a run directory plays the
    environment of that run, any other plays CartPole; --env-id overrides both.

    Every episode is played to its end, so that short episodes are not overrepresented. Without --seed and --episodes,
    they are those of the run's own evaluation, and the figures are the same.
    """
    from ..views.console import print_evaluation

    trained = loaded_actor(path, env_id, env_kwargs)
    from ..rollouts import evaluation

    try:
        with playing_told(trained.source):
            result = evaluation.evaluate_in(
                trained.source,
                trained.model,
                trained.evaluation_episodes if episodes is None else episodes,
                trained.evaluation_seed if seed is None else seed,
                greedy=greedy,
                environment=environment,
            )
    except evaluation.NotCartPoleError as error:
        raise click.BadParameter(str(error), param_hint="'--env'") from None
    if as_json:
        content = {**result.as_dict(), "returns": list(result.returns), "lengths": list(result.lengths)}
        click.echo(json.dumps(content))
    else:
        owner = "fastcartpole's " if environment == "fast" else ""
        print_evaluation(result, f"{owner}{trained.spec.name}", greedy=greedy)
