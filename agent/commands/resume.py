"""The run that ``fastppo train --resume`` continues. Does not import TensorFlow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np

from ..config import PPOConfig
from ..runs.directory import MAY_CHANGE, RunDirectory, is_run, named_example
from ..state import State
from .directories import refuse_beside_resume

# Options allowed with --resume. The run determines everything else.
_CHANGEABLE = frozenset(
    {
        *MAY_CHANGE,
        *(
            "as_json",
            "checkpoint_every",
            "env_id",
            "eval_episodes",
            "eval_every",
            "gif_epochs",
            "no_early_stop",
            "quiet",
            "resume",
        ),
        *("tensorboard", "total_steps"),
    }
)


def refuse_other_settings() -> None:
    """Reject options that would change the resumed training.

    Raises:
        click.UsageError: If such an option was given.
    """
    refuse_beside_resume(lambda name: name not in _CHANGEABLE, "run")


def read_run(path: Path) -> tuple[RunDirectory, PPOConfig, State | None]:
    """Return a run, its configuration, and the state of its last checkpoint, or None if there is no checkpoint yet.

    Args:
        path: The run directory.

    Raises:
        click.BadParameter: If it is not a run directory, or a file in it is damaged or from another version.
    """
    run = RunDirectory(path)
    if not is_run(run) and (hint := named_example(path, is_run)):
        raise _bad(f"'{path}' is not a run directory{hint}.")
    try:
        config = run.read_config()
        state = run.read_checkpoint()
        run.read_resumptions()
        run.read_spaces()
        run.read_outputs()
        _check_named(run)
        _check_consistency(run, state)
    except OSError as error:
        raise _bad(f"'{path}' is not a run directory: {error.filename} cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise _bad(str(error)) from None
    return run, config, state


def _check_named(run: RunDirectory) -> None:
    """Check that the configuration is all that is needed to continue training.

    Raises:
        OSError: If it cannot be read.
        ValueError: If a program passed its own networks, environments or agent class.
    """
    if names := run.read_handed_over():
        raise ValueError(
            f"'{run.shown_path}' was trained by a program with its own {' and '.join(names)}: resume it there, with "
            "fastppo.load(...) and train(run=...)."
        )


def _check_consistency(run: RunDirectory, state: State | None) -> None:
    """Check that the metrics of every epoch of the checkpoint are recorded.

    Raises:
        OSError: If the metrics cannot be read.
        ValueError: If an epoch is missing, or the checkpoint lacks entries.
    """
    recorded = len(run.read_metrics())
    if state is None:
        return
    if not {"epoch", "is_solved"} <= state.keys():
        raise ValueError(f"'{run.checkpoint_path}' is damaged: it lacks entries.")
    if recorded < int(state["epoch"]):
        raise ValueError(f"'{run.metrics_path}' is damaged: it has {recorded} of {int(state['epoch'])} epochs.")


def continued(run: RunDirectory, config: PPOConfig, state: State | None, changes: dict[str, Any]) -> State | None:
    """Return the state from which to continue with the changed configuration.

    Args:
        run: The run.
        config: Its configuration, with the changes.
        state: The state of its last checkpoint; None if there is none.
        changes: The changed fields.

    Raises:
        click.UsageError: If there is nothing left to train.
    """
    if state is None:
        return None
    epoch = int(state["epoch"])
    if epoch > config.epochs:
        raise click.UsageError(
            f"'{run.shown_path}' has trained {epoch} epochs already, more than {config.epochs}; a larger --epochs "
            "continues."
        )
    if "target_return" in changes:
        state = {**state, "is_solved": np.array(False)}
    if not run.evaluation_path.exists():
        # Even after the last epoch: the evaluation is still missing.
        return state
    if state["is_solved"]:
        raise click.UsageError(f"'{run.shown_path}' is already solved; --no-early-stop continues training.")
    if epoch == config.epochs:
        raise click.UsageError(f"'{run.shown_path}' has trained all {epoch} epochs; a larger --epochs continues.")
    return state


def _bad(message: str) -> click.BadParameter:
    return click.BadParameter(message, param_hint="'--resume'")
