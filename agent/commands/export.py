"""The command ``fastppo export``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import cloup

from .environment import environment_options
from .epochs import chosen_epochs, epoch_option
from .model import TrainedActor, environment_of, loaded_actor, model_argument, path_of_actor
from .output import checked_output, overwrite_option, write_output
from .page import export_page

if TYPE_CHECKING:
    from ..runs.exporting import Format

_HTML = "html"
_SUFFIXES = {"keras": ".keras", "saved_model": "", "onnx": ".onnx", _HTML: ".html"}
_NAMES = {"saved_model": "exported_actor_saved_model", _HTML: "policy.html"}


@cloup.command()
@model_argument
@cloup.option(
    "--format",
    "file_format",
    type=click.Choice(list(_SUFFIXES)),
    required=True,
    help="A Keras archive, a directory with a TensorFlow SavedModel, ONNX (pip install 'fastppo[onnx]'), or a web page "
    "that needs no network.",
)
@epoch_option(
    "Train the run again and show the policies after these epochs on the page; for --format html.",
    "for CartPole as many as fit, else the last",
)
@cloup.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="PATH",
    show_default="exported_actor... or policy.html, beside the actor",
    help="File to write, or directory for a SavedModel.",
)
@overwrite_option
@environment_options
def export(
    path: Path,
    file_format: str,
    epochs: list[int],
    more_epochs: list[int],
    out: Path | None,
    overwrite: bool,
    env_id: str | None,
    env_kwargs: dict[str, Any] | None,
) -> None:
    """Write a trained actor in another format.

    RUN is a run directory; its last policy, actor.keras, is used. ACTOR.keras is any Keras model that maps observations
    to logits or, for continuous actions, to a dictionary of 'mean' and 'log_std'. A model in a run directory plays the
    environment of that run, any other plays CartPole; --env-id overrides both.

    The exported model is read back and must give the actor's outputs on 1,000 observations. With --format html, the
    page plays CartPole live in the browser; for other environments it shows recorded episodes.
    """
    suffix = _SUFFIXES[file_format]
    epochs = chosen_epochs(epochs, more_epochs)
    if epochs and file_format != _HTML:
        raise click.UsageError("--epoch is for --format html; the other formats take the last policy.")
    out = out or path_of_actor(path).with_name(_NAMES.get(file_format, f"exported_actor{suffix}"))
    checked_output(out, (suffix,) if suffix else (), overwrite=overwrite)
    # The environment may change the working directory.
    target = out.absolute()
    if file_format == _HTML:
        said = export_page(path, environment_of(path, env_id, env_kwargs), epochs, target, overwrite=overwrite)
    else:
        trained = loaded_actor(path, env_id, env_kwargs)
        said = _export_model(trained, file_format, target, overwrite)  # type: ignore[arg-type]
    click.echo(f"Saved in {out}{said}")


def _export_model(trained: TrainedActor, file_format: Format, out: Path, overwrite: bool) -> str:
    """Write the model and return the rest of the sentence that says where it is."""
    from ..runs.exporting import ExportError, export_actor, missing_packages

    missing = missing_packages(file_format)
    if missing:
        raise click.UsageError(f"this format needs {' and '.join(missing)}: pip install 'fastppo[onnx]'.")
    try:
        difference = write_output(
            out, lambda path: export_actor(trained.model, trained.spec, path, file_format), overwrite=overwrite
        )
    except ExportError as error:
        raise click.ClickException(f"{error} Nothing was kept.") from None
    return f"; on 1,000 observations its outputs differ from the actor's by {difference:.1e}"
