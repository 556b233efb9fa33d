"""The trained actor that a command takes, and the environment it plays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import cloup

from ..config import PPOConfig
from ..runs.directory import RunDirectory, named_example
from .environment import ENV_ID_HINT, described

if TYPE_CHECKING:
    from ..environments.making import EnvironmentSource
    from ..environments.spec import EnvironmentSpec
    from ..process.backend import keras

_EPISODES = 100
_METAVAR = "RUN|ACTOR.keras"
_HINT = f"'{_METAVAR}'"


@dataclass(frozen=True)
class TrainedActor:
    """A trained actor and its environment.

    Attributes:
        model: The actor.
        source: Creates the environment.
        spec: Properties of the environment.
        evaluation_seed: Seed with which its run was evaluated; 0 if it is of no run.
        evaluation_episodes: Number of episodes of that evaluation; 100 if there was none.
    """

    model: keras.Model
    source: EnvironmentSource
    spec: EnvironmentSpec
    evaluation_seed: int
    evaluation_episodes: int


def model_argument(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the argument ``path``: a run directory or a Keras model."""
    return cloup.argument("path", type=click.Path(path_type=Path, exists=True), metavar=_METAVAR)(command)


def policy_options(*, seed: int | None) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add ``--seed`` and ``--greedy/--sample``.

    Args:
        seed: The default seed; None is that of the run's own evaluation.
    """
    seed_option = cloup.option(
        "--seed",
        type=click.IntRange(min=0),
        metavar="N",
        default=seed,
        show_default="that of the run's evaluation" if seed is None else str(seed),
        help="Seed for initial states and actions.",
    )
    greedy = cloup.option(
        "--greedy/--sample",
        default=True,
        help="Take the most probable action, or sample actions from the policy.",
    )
    return lambda command: seed_option(greedy(command))


def path_of_actor(path: Path) -> Path:
    """Return the path of the actor that the argument names.

    Raises:
        click.BadParameter: If the argument names a directory without an actor.
    """
    if not path.is_dir():
        return path
    actor_path = path / RunDirectory(path).actor_path.name
    if not actor_path.exists():
        hint = named_example(path, lambda run: run.actor_path.exists())
        raise click.BadParameter(f"'{path}' holds no trained actor{hint}.", param_hint=_HINT)
    return actor_path


def loaded_actor(path: Path, env_id: str | None = None, env_kwargs: dict[str, Any] | None = None) -> TrainedActor:
    """Return the actor that the argument names.

    Args:
        path: The argument.
        env_id: Value of ``--env-id``; None for the run's.
        env_kwargs: Value of ``--env-kwargs``; None for the run's.

    Raises:
        click.BadParameter: If there is no actor, it cannot be loaded, or it does not fit the environment.
    """
    # The environment may change the working directory.
    actor_path = path_of_actor(path).absolute()
    config = _config_of_run(path)
    source = environment_of(path, env_id, env_kwargs)
    spec = described(source, ENV_ID_HINT if env_id or not path.is_dir() else _HINT)
    from ..actors import load_actor
    from ..process.backend import hide_gpus

    hide_gpus()
    try:
        model = load_actor(actor_path, spec)
    except ValueError as error:
        hint = f" It would play {spec.name}; --env-id selects another environment." if "must map" in str(error) else ""
        raise click.BadParameter(f"{error}{hint}", param_hint=_HINT) from None
    from ..ppo import evaluation_seed

    run = RunDirectory(path if path.is_dir() else path.parent)
    episodes = None if config is None else run.read_evaluation_episodes()
    return TrainedActor(model, source, spec, 0 if config is None else evaluation_seed(config), episodes or _EPISODES)


def environment_of(path: Path, env_id: str | None, env_kwargs: dict[str, Any] | None) -> EnvironmentSource:
    """Return the environment to play: that of the options, else the run's, else CartPole.

    Raises:
        click.BadParameter: If the run does not record its environment.
    """
    from ..environments.making import EnvironmentSource, source_of

    config = _config_of_run(path)
    of_the_run = None if config is None else source_of(config)
    if of_the_run is None or env_id not in (None, of_the_run.env_id):
        return EnvironmentSource(env_id or PPOConfig.env_id, env_kwargs or {})
    if of_the_run.env_id is None:
        message = f"'{path}' was trained by a program in a custom environment; name one with --env-id."
        raise click.BadParameter(message, param_hint=_HINT)
    return of_the_run if env_kwargs is None else replace(of_the_run, env_kwargs=env_kwargs)


def _config_of_run(path: Path) -> PPOConfig | None:
    """Return the configuration of the run that the argument names or lies in; None if there is no run."""
    run = RunDirectory(path if path.is_dir() else path.parent)
    if not run.config_path.exists():
        return None
    try:
        return run.read_config()
    except OSError as error:
        message = f"'{error.filename}' cannot be read: {error.strerror}."
    except ValueError as error:
        message = str(error)
    if path.is_file():
        # A model may be anywhere, even next to an unrelated config.json.
        return None
    raise click.BadParameter(message, param_hint=_HINT) from None
