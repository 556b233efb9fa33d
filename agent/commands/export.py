"""The command ``fastppo export``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import cloup

from .environment import environment_options
from .model import loaded_actor, model_argument, path_of_actor
from .output import checked_output, overwrite_option, write_output

if TYPE_CHECKING:
    from ..runs.exporting import Format

_SUFFIXES = {"keras": ".keras", "saved_model": "", "onnx": ".onnx"}


@cloup.command()
@model_argument
@cloup.option(
    "--format",
    "file_format",
    type=click.Choice(list(_SUFFIXES)),
    required=True,
    help="A Keras archive, a directory with a TensorFlow SavedModel, or ONNX: pip install 'fastppo[onnx]'.",
)
@cloup.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="PATH",
    show_default="exported_actor... beside the actor",
    help="File, or for a SavedModel directory, to write.",
)
@overwrite_option
@environment_options
def export(
    path: Path,
    file_format: Format,
    out: Path | None,
    overwrite: bool,
    env_id: str | None,
    env_kwargs: dict[str, Any] | None,
) -> None:
    """Write a trained actor in the format of another library.

    RUN is a run directory; any Keras model may take its place that gives the logits of actions for observations or,
    where actions are continuous, 'mean' and 'log_std'; with --env-id where it does not play CartPole.
    The exported model is read back and must give the actor's outputs on 1,000 observations.
    """
    suffix = _SUFFIXES[file_format]
    out = out or path_of_actor(path).with_name(f"exported_actor{suffix or '_saved_model'}")
    checked_output(out, (suffix,) if suffix else (), overwrite=overwrite)
    trained = loaded_actor(path, env_id, env_kwargs)
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
    click.echo(f"Saved in {out}; on 1,000 observations its outputs differ from the actor's by {difference:.1e}")
