"""The options that select an environment."""

from __future__ import annotations

import json
import os
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import cloup

from ..environments.ids import MODULE_FOLDER, versioned
from ..process.surroundings import environment_variable

if TYPE_CHECKING:
    from ..environments.making import EnvironmentSource
    from ..environments.spec import EnvironmentSpec

ENV_ID_HINT = "'--env-id'"


def _versioned(context: click.Context, _: click.Parameter, value: str | None) -> str | None:
    """Return an id with its version.

    The module of an id given on the command line, and only that one, may be in the current folder.
    """
    if value is None:
        return None
    if ":" in value:
        context.with_resource(environment_variable(MODULE_FOLDER, str(Path.cwd())))
    return versioned(value)


def _json_object(context: click.Context, parameter: click.Parameter, value: str | None) -> dict[str, Any] | None:
    if value is None:
        return None
    try:
        content = json.loads(value)
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is not valid JSON: {error}.", context, parameter) from None
    if not isinstance(content, dict):
        raise click.BadParameter(f'{value!r} is not a JSON object such as {{"natural": true}}.', context, parameter)
    return content


def env_id_option(help_text: str, **attributes: Any) -> Any:
    """Return the option ``--env-id``."""
    return cloup.option("--env-id", metavar="[MODULE:]ID", callback=_versioned, help=help_text, **attributes)


def env_kwargs_option(**attributes: Any) -> Any:
    """Return the option ``--env-kwargs``."""
    return cloup.option(
        "--env-kwargs",
        metavar="JSON",
        callback=_json_object,
        help="Keyword arguments of the environment as JSON, such as '{\"natural\": true}'.",
        **attributes,
    )


def environment_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--env-id`` and ``--env-kwargs`` to a command that takes a trained actor."""
    env_id = env_id_option(
        "Environment to play. MODULE is imported first and may be in the current folder.",
        show_default="the run's, or CartPole-v1",
    )
    decorated: Callable[..., Any] = env_id(env_kwargs_option(show_default="the run's")(command))
    return decorated


def described(source: EnvironmentSource, hint: str = ENV_ID_HINT, *, builds_networks: bool = False) -> EnvironmentSpec:
    """Return the spec of an environment, by creating it once.

    Args:
        source: Creates the environment.
        hint: The option that selects it, for messages.
        builds_networks: Whether networks will be built for it.

    Raises:
        click.BadParameter: If the environment cannot be created, or an agent cannot play it.
    """
    from ..environments.making import UnknownEnvironmentError
    from ..errors import UnsupportedSpaceError

    try:
        spec = source.describe()
        if builds_networks:
            spec.assert_takes_vectors()
        return spec
    except (UnknownEnvironmentError, UnsupportedSpaceError) as error:
        raise click.BadParameter(sentence_of(source, error), param_hint=hint) from None


@contextmanager
def playing_told(source: EnvironmentSource) -> Iterator[None]:
    """End a command that plays an environment with one sentence if that fails.

    Exceptions raised by the environment's own code are shown with their traceback.

    Args:
        source: Creates the environment.
    """
    from ..environments.making import UnknownEnvironmentError
    from ..errors import DivergenceError, EnvironmentUseError, InvalidTransitionError, is_of_the_environment

    try:
        yield
    except UnknownEnvironmentError as error:
        raise click.ClickException(sentence_of(source, error)) from None
    except (DivergenceError, InvalidTransitionError, MemoryError) as error:
        raise click.ClickException(str(error)) from None
    except EnvironmentUseError as error:
        raise click.UsageError(str(error)) from None
    except Exception as error:
        if not is_of_the_environment(error):
            raise
        traceback.print_exception(error)
        click.echo("Error: the environment raised an exception.", err=True)
        raise SystemExit(1) from None


def check_drawing(spec: EnvironmentSpec, hint: str = ENV_ID_HINT) -> None:
    """Check that an environment can render images.

    Raises:
        click.BadParameter: If it cannot.
    """
    if not spec.draws_images:
        modes = ", ".join(spec.render_modes) or "none"
        message = f"{spec.name} cannot be drawn: rgb_array is not among its render modes ({modes})."
        raise click.BadParameter(message, param_hint=hint)


def sentence_of(source: EnvironmentSource, error: Exception) -> str:
    """Return why an environment cannot be played, as a sentence."""
    from ..errors import UnsupportedSpaceError

    if isinstance(error, UnsupportedSpaceError):
        return f"{source} cannot be played: {error}"
    text = f"{error}".rstrip(".")
    names_module = isinstance(error.__cause__, ModuleNotFoundError) and ":" in str(source.env_id)
    if names_module and MODULE_FOLDER not in os.environ:
        return f"{text}; with --env-id {source.env_id} it is also looked for in the current folder."
    return text if text.endswith("?") else f"{text}."
