"""The web page that ``fastppo export --format html`` writes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..runs.directory import RunDirectory
from .environment import check_drawing, described, playing_told
from .epochs import caption_of, earlier_actors, recorded_run
from .model import loaded_actor
from .output import write_output

if TYPE_CHECKING:
    from ..environments.making import EnvironmentSource
    from ..environments.spec import EnvironmentSpec
    from ..views.pages import ShownPolicy

# More would only make the slider longer.
_MAX_POLICIES = 8


def export_page(path: Path, source: EnvironmentSource, epochs: list[int], out: Path, *, overwrite: bool) -> str:
    """Write a page with policies of a run: CartPole live, other environments as recorded episodes.

    Args:
        path: A run directory or an actor.
        source: Makes the environment.
        epochs: After which epochs to show the policy; empty for the default.
        out: The file, an absolute path.
        overwrite: Whether an existing file is replaced.

    Returns:
        The rest of the sentence that says where the page is.

    Raises:
        click.ClickException: If the policies do not fit on a page, or episodes cannot be recorded.
    """
    from ..rollouts.cartpole import can_play

    # The environment may change the working directory.
    path = path.absolute()
    spec = described(source)
    is_cartpole = can_play(source)
    if not is_cartpole:
        _check_recording(spec)
    policies = _policies(path, source, epochs, _default_epochs(path) if is_cartpole else [])
    if not epochs and is_cartpole:
        policies = _fitting(policies)
    title = f"{spec.name}, played by a trained policy"

    def write(temporary: Path) -> int:
        return _write(temporary, source, spec, policies, title, _note(path), is_cartpole=is_cartpole)

    try:
        with playing_told(source):
            size = write_output(out, write, overwrite=overwrite)
    except ValueError as error:
        raise click.ClickException(f"{error} Nothing was written.") from None
    return f" ({size / 1000:.0f} kB): the policy {', '.join(policy.label for policy in policies)}"


def _write(
    path: Path,
    source: EnvironmentSource,
    spec: EnvironmentSpec,
    policies: list[ShownPolicy],
    title: str,
    note: str,
    *,
    is_cartpole: bool,
) -> int:
    from ..views.pages import UnknownLayersError, write_live_page, write_recorded_page

    if is_cartpole:
        try:
            return write_live_page(path, policies, title, note)
        except UnknownLayersError:
            # Episodes of such a network are recorded, as in other environments.
            _check_recording(spec)
    return write_recorded_page(path, source, spec, policies, title, note)


def _check_recording(spec: EnvironmentSpec) -> None:
    """Raise a click.UsageError if episodes cannot be recorded."""
    from ..views.pages import missing_packages_of_recordings

    missing = missing_packages_of_recordings()
    if missing:
        message = f"a page with recorded episodes needs {' and '.join(missing)}: pip install 'fastppo[rendering]'."
        raise click.UsageError(message)
    check_drawing(spec)


def _policies(path: Path, source: EnvironmentSource, epochs: list[int], default: list[int]) -> list[ShownPolicy]:
    """Return the policies after these epochs, else after the default ones, else the one that the argument names."""
    from ..views.pages import ShownPolicy

    wanted = sorted(set(epochs or default))
    if wanted:
        recorded = recorded_run(path, max(wanted))
        try:
            actors = earlier_actors(recorded, wanted)
            return [ShownPolicy(caption_of(epoch), actor) for epoch, actor in zip(wanted, actors, strict=True)]
        except click.ClickException as error:
            if epochs:
                raise
            click.echo(f"Only the last policy is on the page: {error.message}", err=True)
    label = "at the end of training" if path.is_dir() else path.name
    return [ShownPolicy(label, loaded_actor(path, source.env_id, dict(source.env_kwargs)).model)]


def _default_epochs(path: Path) -> list[int]:
    """Return epochs from first to last, evenly spread, or none if the run cannot be trained again."""
    if not path.is_dir():
        return []
    run = RunDirectory(path)
    try:
        last = 0 if run.read_handed_over() else len(run.read_metrics())
    except (OSError, ValueError):
        # A directory with an actor and nothing else.
        return []
    return _spread(range(last + 1), _MAX_POLICIES) if last else []


def _spread(items: range, count: int) -> list[int]:
    """Return ``count`` items, or all if there are fewer, evenly spread from the first to the last."""
    count = min(count, len(items))
    return [items[-1]] if count < 2 else [items[round(i * (len(items) - 1) / (count - 1))] for i in range(count)]


def _fitting(policies: list[ShownPolicy]) -> list[ShownPolicy]:
    """Return as many of the policies as a live page holds, evenly spread."""
    from ..views.pages import layers_of, policies_that_fit

    layers = layers_of(policies[-1].actor)
    if layers is None:
        return policies[-1:]
    return [policies[index] for index in _spread(range(len(policies)), policies_that_fit(layers))]


def _note(path: Path) -> str:
    """Return the line below the page: where its policies come from."""
    try:
        config = RunDirectory(path).read_config()
    except (OSError, ValueError):
        return "Made with fastppo."
    return f"Made with fastppo: preset {config.preset}, seed {config.seed}."
