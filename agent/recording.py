"""Training with a display and a run directory, from the command line and from Python."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .callbacks import Callback
from .environments.making import source_of
from .errors import reason_of
from .process.backend import keras
from .process.interrupts import ignore_interrupts, interrupt_stops
from .process.surroundings import show_warning
from .rollouts.evaluation import EvaluationResult, evaluate_in
from .runs.best import MIN_EPISODES, BestPolicy
from .runs.directory import MAY_CHANGE, Checkpoints, Resumption, RunDirectory
from .runs.next_commands import next_commands
from .runs.outputs import Outputs
from .views.console import format_evaluation
from .views.display import Display, new_display
from .views.drawing import CurveDrawing

if TYPE_CHECKING:
    from .ppo import PPO
    from .state import State

# Prefixes of the state's entries that change when environments start new episodes, or when the target return changes.
_OF_EPISODES = ("environments/", "statistics/")
_OF_TARGET = "is_solved"


class Ending(NamedTuple):
    """How training ended.

    Attributes:
        is_complete: Whether training is complete; False if it was stopped early.
        is_interrupted: Whether Ctrl-C was pressed.
    """

    is_complete: bool
    is_interrupted: bool


def train_recorded(
    ppo: PPO,
    run: RunDirectory,
    display: Display,
    drawing: CurveDrawing,
    outputs: Outputs,
    callbacks: Sequence[Callback] = (),
) -> Ending:
    """Train, save and evaluate; the first Ctrl-C ends training after the current epoch.

    Args:
        ppo: The agent.
        run: Its run directory, which already holds the configuration and the metrics of all epochs so far.
        display: The display, entered by the caller.
        drawing: The drawing of the learning curve, entered by the caller.
        outputs: Further outputs to save.
        callbacks: The user's callbacks.

    Returns:
        How training ended.

    Raises:
        KeyboardInterrupt: On the second Ctrl-C.
        OSError: If a file cannot be written.
    """
    best = BestPolicy(run, outputs.eval_every, ppo.get_policy())
    # The display comes last: if its output fails, the epoch is already recorded.
    watching = [*_keeping(ppo, run, best, outputs), *callbacks, display]
    with interrupt_stops(ppo) as interrupt:
        try:
            ppo.train_remaining_epochs(watching)
        finally:
            # A further Ctrl-C must not prevent saving.
            ignore_interrupts()
            # After an interruption within an epoch, the state is inconsistent and the last checkpoint is kept.
            if ppo.is_between_epochs and run.last_epoch == ppo.epoch > 0:
                # The checkpoint first: everything else can be recreated from it.
                run.write_checkpoint(ppo.get_state() | best.get_state())
                run.save_models(ppo)
    drawing.begin(run)
    evaluation = _evaluation_of(ppo, outputs, display) if _is_complete(ppo) else None
    # Before writing the evaluation, which marks the run as complete: without its curve it can still be resumed.
    drawing.finish(run)
    if evaluation is None:
        if not interrupt.has_come:
            display.message(f"Stopped early; saved in {run.shown_path}")
        return Ending(False, interrupt.has_come)
    best.complete(ppo, evaluation, lambda: _evaluation_of(ppo, outputs, display), display)
    run.write_evaluation(evaluation.as_dict())
    display.message(f"{format_evaluation(evaluation, ppo.spec.name)}; mean_return above is of sampled actions")
    display.message(f"Saved in {run.shown_path}")
    env_id, is_drawn = ppo.config.env_id, ppo.spec.draws_images
    display.message(next_commands(run.shown_path, env_id, ppo.handed_over, is_drawn=is_drawn))
    return Ending(True, interrupt.has_come)


def _keeping(ppo: PPO, run: RunDirectory, best: BestPolicy, outputs: Outputs) -> list[Callback]:
    """Return the callbacks that write into the run directory, in the order of their calls."""
    callbacks: list[Callback] = [run]
    if outputs.gif_epochs and _can_be_recorded(ppo):
        from .views.rendering import GifRecorder

        callbacks.append(GifRecorder(run, source_of(ppo.config), outputs.gif_epochs))
    callbacks += [best, Checkpoints(run, outputs.checkpoint_every, best.get_state)]
    if outputs.tensorboard:
        from .views.tensorboard import TensorBoardWriter

        callbacks.append(TensorBoardWriter(run.tensorboard_path))
    return callbacks


def _can_be_recorded(ppo: PPO) -> bool:
    """Return whether episodes can become animations; a warning names missing packages."""
    from .views.animations import missing_packages

    if ppo.config.env_id is None or not ppo.spec.draws_images:
        return False
    if missing := missing_packages():
        show_warning(
            f"no animations are recorded: animations need {' and '.join(missing)}: pip install 'fastppo[rendering]', "
            "or choose --gif-epochs none."
        )
    return not missing


def _evaluation_of(ppo: PPO, outputs: Outputs, display: Display) -> EvaluationResult:
    """Evaluate the agent's policy in new environments; on CartPole in Gymnasium's own instead of the kernel."""
    # By default, not more than training had steps for.
    episodes = outputs.eval_episodes or max(MIN_EPISODES, ppo.affordable_episodes(1.0))
    with display.evaluating(episodes) as show:
        if ppo.source is None:
            return ppo.evaluate(episodes, show)
        return evaluate_in(ppo.source, ppo.actor, episodes, ppo.evaluation_seed, on_episodes=show)


def reopen(run: RunDirectory, ppo: PPO, outputs: Outputs) -> None:
    """Prepare a run to be resumed by an agent in the state in which it was last saved.

    Args:
        run: The run.
        ppo: The agent.
        outputs: The outputs to save from now on.

    Raises:
        OSError: If a file cannot be read or written.
        ValueError: If a file is damaged.
    """
    run.reopen(ppo.epoch)
    if run.tensorboard_path.is_dir():
        from .views.tensorboard import cut_events

        cut_events(run.tensorboard_path, ppo.env_steps)
    resumptions = [entry for entry in run.read_resumptions() if entry.after_epoch <= ppo.epoch]
    # If a run is resumed twice after the same epoch, the first entry holds the number of epochs until then.
    if ppo.epoch and ppo.epoch not in {entry.after_epoch for entry in resumptions}:
        resumptions.append(Resumption(ppo.epoch, run.read_config().epochs))
    ppo.resumptions = tuple(resumptions)
    run.write_config(ppo.config, ppo.spec.spaces, resumptions, ppo.handed_over, outputs)


def train_from_python(
    ppo: PPO, callbacks: Sequence[Callback], path: str | PathLike[str] | None, progress: bool
) -> None:
    """Train with a run directory or a display; see ``PPO.train``."""
    with ExitStack() as stack:
        run = None if path is None else stack.enter_context(_opened(_checked_path("run", path), ppo))
        if run is not None and _is_complete_with_evaluation(run, ppo):
            ppo.assert_unfinished()
        past_returns = [metrics.mean_return for metrics in ppo.history]
        display = stack.enter_context(new_display(ppo.config, quiet=not progress, past_returns=past_returns))
        display.waiting_for("compiling")
        ppo.compile()
        if run is None:
            ppo.train_remaining_epochs([*callbacks, display])
            return
        drawing = stack.enter_context(CurveDrawing(beside=False))
        if train_recorded(ppo, run, display, drawing, run.read_outputs(), callbacks).is_interrupted:
            raise KeyboardInterrupt


def _is_complete(ppo: PPO) -> bool:
    return ppo.epoch >= ppo.config.epochs or ppo.is_solved


def _is_complete_with_evaluation(run: RunDirectory, ppo: PPO) -> bool:
    return _is_complete(ppo) and run.evaluation_path.exists()


def _checked_path(name: str, path: object) -> Path:
    """Return a path given by the user.

    Raises:
        TypeError: If it is not a path.
    """
    if not isinstance(path, (str, PathLike)):
        raise TypeError(f"{name} must be a path, got {path!r}.")
    return Path(path)


@contextmanager
def _opened(path: Path, ppo: PPO) -> Iterator[RunDirectory]:
    """Lock the run directory of an agent: a new one, or the one that holds its training so far.

    Raises:
        ValueError: If the directory holds another run, or metrics of some epochs are missing.
        RuntimeError: If an epoch was interrupted.
        FileExistsError: If the directory holds something else.
        BlockingIOError: If another process is using the directory.
        OSError: If the directory cannot be read or written.
    """
    _assert_can_be_kept(ppo)
    run = RunDirectory(path)
    is_there = _is_run(run)
    if not is_there:
        run.create()
    try:
        with run.locked():
            if is_there:
                _assert_own(run, ppo)
                if not _is_complete_with_evaluation(run, ppo):
                    # As when resuming a run: environments whose state cannot be saved start new episodes.
                    ppo.begin_new_episodes()
                    reopen(run, ppo, run.read_outputs())
                    run.write_metrics(ppo.history)
            else:
                _write_beginning(run, ppo)
                if ppo.epoch:
                    run.write_checkpoint(ppo.get_state())
            yield run
    finally:
        run.discard_if_unused()


def save(ppo: PPO, path: str | PathLike[str], overwrite: bool) -> None:
    """Save an agent as a run directory; see ``PPO.save``."""
    _assert_can_be_kept(ppo)
    run = RunDirectory(_checked_path("path", path))
    is_replaced = overwrite and _is_run(run)
    if not is_replaced:
        run.create()
    # Written completely to a temporary directory first: if anything fails, the old run is unchanged.
    staged = RunDirectory(run.path.with_name(f".{run.path.name}.{os.getpid()}"))
    try:
        with run.locked():
            staged.create()
            _write_beginning(staged, ppo, run.read_outputs() if is_replaced else None)
            staged.write_checkpoint(ppo.get_state())
            staged.save_models(ppo)
            if is_replaced:
                run.remove_results()
            staged.move_to(run)
    finally:
        shutil.rmtree(staged.path, ignore_errors=True)
        run.discard_if_unused()


def _is_run(run: RunDirectory) -> bool:
    """Return whether a directory holds a readable run."""
    try:
        run.read_config()
    except (OSError, ValueError):
        return False
    return run.metrics_path.exists()


def _assert_can_be_kept(ppo: PPO) -> None:
    """Check that an agent is between epochs, and that the metrics of all epochs so far are known.

    Raises:
        RuntimeError: If an epoch was interrupted.
        ValueError: If metrics are missing.
    """
    if not ppo.is_between_epochs:
        raise RuntimeError("the last epoch was interrupted, so the agent cannot be saved; load() its last checkpoint.")
    for name, model in ppo.own_networks.items():
        _assert_can_be_serialized(name, model)
    if len(ppo.history) != ppo.epoch:
        raise ValueError(
            f"history must hold the metrics of all {ppo.epoch} epochs, got {len(ppo.history)}: set_history() sets "
            "them after set_state()."
        )


def _assert_can_be_serialized(name: str, model: keras.Model) -> None:
    """Check that a custom network can be written as a ``.keras`` file, which would otherwise fail after the training.

    Raises:
        ValueError: If it cannot.
    """
    try:
        keras.saving.serialize_keras_object(model)
    except Exception as error:
        raise ValueError(
            f"{name} cannot be saved by Keras ({reason_of(error)}): give {type(model).__name__} a method get_config() "
            "that returns the arguments of its constructor."
        ) from None


def _write_beginning(run: RunDirectory, ppo: PPO, outputs: Outputs | None = None) -> None:
    """Write the configuration of an agent, the outputs to save, and the metrics of its epochs so far."""
    run.write_config(ppo.config, ppo.spec.spaces, ppo.resumptions, ppo.handed_over, outputs)
    run.write_metrics(ppo.history)


def _assert_own(run: RunDirectory, ppo: PPO) -> None:
    """Check that a run directory holds the agent's training so far.

    Raises:
        ValueError: If it holds another run.
        OSError: If it cannot be read.
    """
    changes: Any = {name: getattr(ppo.config, name) for name in MAY_CHANGE}
    state = run.read_checkpoint()
    is_begun = (state is None and ppo.epoch == 0) or (state is not None and _agree(state, ppo))
    if not (is_begun and run.read_config().replace(**changes) == ppo.config):
        raise ValueError(
            f"run must be a new directory, or that of this agent's training so far, got '{run.shown_path}', which "
            "holds another run; load() returns the agent of its last checkpoint."
        )


def _agree(state: State, ppo: PPO) -> bool:
    """Return whether a state equals that of an agent, apart from entries that may differ."""
    own = ppo.get_state()
    may_differ = (_OF_TARGET,) if ppo.is_exact else (_OF_TARGET, *_OF_EPISODES)
    names = [name for name in state if not name.startswith(may_differ)]
    return state.keys() == own.keys() and all(np.array_equal(state[name], own[name]) for name in names)
