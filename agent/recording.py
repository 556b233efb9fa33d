"""Trainings that are shown and kept in a run directory: from the command line, and from Python."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .callbacks import Callback
from .environments.making import source_of
from .process.interrupts import ignore_interrupts, interrupt_stops
from .rollouts.evaluation import EvaluationResult, evaluate
from .runs.best import BestPolicy
from .runs.directory import MAY_CHANGE, Checkpoints, Resumption, RunDirectory
from .runs.outputs import Outputs
from .views.console import format_evaluation
from .views.display import Display, new_display
from .views.drawing import CurveDrawing

if TYPE_CHECKING:
    from .ppo import PPO
    from .state import State

# Of a state: what changes where environments begin new episodes, and what another target changes.
_OF_EPISODES = ("environments/", "statistics/")
_OF_TARGET = "is_solved"


class Ending(NamedTuple):
    """How a training ended.

    Attributes:
        is_complete: Whether it came to its end; False where it was ended early.
        is_interrupted: Whether Ctrl-C ended it.
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
    """Train, save and evaluate. The first Ctrl-C ends the training after the current epoch.

    Args:
        ppo: The agent.
        run: Its run, with the configuration written and every epoch so far recorded.
        display: Shows the training; entered by the caller.
        drawing: Draws the learning curve; entered by the caller.
        outputs: What else is kept.
        callbacks: Of the user.

    Returns:
        How it ended.

    Raises:
        KeyboardInterrupt: With the second Ctrl-C.
        OSError: If something cannot be written.
    """
    best = BestPolicy(run, outputs.eval_every)
    # The display comes last: where nobody reads it any more, the epoch is recorded all the same.
    watching = [*_keeping(ppo, run, best, outputs), *callbacks, display]
    with interrupt_stops(ppo) as interrupt:
        try:
            ppo.train(watching)
        finally:
            # Whatever ended the training: what was learned is not lost to a second Ctrl-C.
            ignore_interrupts()
            # A second Ctrl-C in the middle of an epoch leaves nothing to resume from: the last checkpoint stays.
            if ppo.is_between_epochs and run.last_epoch == ppo.epoch > 0:
                # The checkpoint first: from it alone, what is missing can be made again.
                run.write_checkpoint(ppo.get_state())
                run.save_models(ppo)
    drawing.begin(run)
    evaluation = _evaluation_of(ppo) if _is_complete(ppo) else None
    # Before the evaluation is kept: a run without its curve is not complete, and can be resumed.
    drawing.finish(run)
    if evaluation is None:
        if not interrupt.has_come:
            display.message(f"Stopped before its end; saved in {run.path}")
        return Ending(False, interrupt.has_come)
    best.complete(ppo, evaluation)
    run.write_evaluation(evaluation.as_dict())
    display.message(f"{format_evaluation(evaluation, ppo.spec.name)}; mean_return above is of sampled actions")
    display.message(f"Saved in {run.path}")
    path = shlex.quote(str(run.path))
    played = path if ppo.config.env_id is not None else f"{path} --env-id ID"
    display.message(f"Next: fastppo eval {played}, fastppo render {played}, or fastppo plot {path}")
    return Ending(True, interrupt.has_come)


def _keeping(ppo: PPO, run: RunDirectory, best: BestPolicy, outputs: Outputs) -> list[Callback]:
    """Return what writes into the run directory, in the order in which it is called."""
    callbacks: list[Callback] = [run]
    if outputs.gif_epochs:
        from .views.rendering import GifRecorder

        callbacks.append(GifRecorder(run, source_of(ppo.config), outputs.gif_epochs))
    callbacks += [best, Checkpoints(run, outputs.checkpoint_every)]
    if outputs.tensorboard:
        from .views.tensorboard import TensorBoardWriter

        callbacks.append(TensorBoardWriter(run.tensorboard_path))
    return callbacks


def _evaluation_of(ppo: PPO) -> EvaluationResult:
    """Evaluate the trained policy: on CartPole, which the kernel has played so far, in Gymnasium's own environment."""
    if not ppo.is_exact:
        return ppo.evaluate()
    return evaluate(ppo.actor, seed=ppo.evaluation_seed, env_id=str(ppo.config.env_id))


def reopen(run: RunDirectory, ppo: PPO) -> None:
    """Prepare a run to be resumed by an agent that stands where it was last saved.

    Raises:
        OSError: If a file cannot be read or written.
        ValueError: If one is damaged.
    """
    run.reopen(ppo.epoch)
    if run.tensorboard_path.is_dir():
        from .views.tensorboard import cut_events

        cut_events(run.tensorboard_path, ppo.env_steps)
    resumptions = [entry for entry in run.read_resumptions() if entry.after_epoch <= ppo.epoch]
    # Where a run was resumed twice at the same place, its epochs until then are those of the first time.
    if ppo.epoch and ppo.epoch not in {entry.after_epoch for entry in resumptions}:
        resumptions.append(Resumption(ppo.epoch, run.read_config().epochs))
    ppo.resumptions = tuple(resumptions)
    run.write_config(ppo.config, ppo.spec.spaces, resumptions, ppo.handed_over)


def train_from_python(
    ppo: PPO, callbacks: Sequence[Callback], path: str | PathLike[str] | None, progress: bool
) -> None:
    """Train as ``agent.PPO.train`` does with a run directory or a display; its docstring tells the rest."""
    with ExitStack() as stack:
        run = None if path is None else stack.enter_context(_opened(_checked_path("run", path), ppo))
        past_returns = [metrics.mean_return for metrics in ppo.history]
        display = stack.enter_context(new_display(ppo.config, quiet=not progress, past_returns=past_returns))
        if run is not None and _is_complete_with_evaluation(run, ppo):
            display.message(f"The run in {run.path} is complete: nothing is left to train.")
            return
        display.waiting_for("compiling")
        ppo.compile()
        if run is None:
            ppo.train([*callbacks, display])
            return
        drawing = stack.enter_context(CurveDrawing(beside=False))
        if train_recorded(ppo, run, display, drawing, Outputs(), callbacks).is_interrupted:
            raise KeyboardInterrupt


def _is_complete(ppo: PPO) -> bool:
    return ppo.epoch >= ppo.config.epochs or ppo.is_solved


def _is_complete_with_evaluation(run: RunDirectory, ppo: PPO) -> bool:
    return _is_complete(ppo) and run.evaluation_path.exists()


def _checked_path(name: str, path: object) -> Path:
    """Return a path that was given.

    Raises:
        TypeError: If it is none.
    """
    if not isinstance(path, (str, PathLike)):
        raise TypeError(f"{name} must be a path, got {path!r}.")
    return Path(path)


@contextmanager
def _opened(path: Path, ppo: PPO) -> Iterator[RunDirectory]:
    """Lock the run directory of an agent: a new one, or that of its own training so far.

    Raises:
        ValueError: If it holds another training, or the figures of some epochs are not known.
        RuntimeError: If an epoch was interrupted.
        FileExistsError: If it holds something else.
        BlockingIOError: If another training or command is working in it.
        OSError: If it cannot be read or written.
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
                    # As a run that is resumed: environments whose state cannot be kept begin new episodes.
                    ppo.begin_new_episodes()
                    reopen(run, ppo)
                    run.write_metrics(ppo.history)
            else:
                _write_beginning(run, ppo)
                if ppo.epoch:
                    run.write_checkpoint(ppo.get_state())
            yield run
    finally:
        run.discard_if_unused()


def save(ppo: PPO, path: str | PathLike[str], overwrite: bool) -> None:
    """Write a run directory with an agent as it is; the docstring of ``agent.PPO.save`` tells the rest."""
    _assert_can_be_kept(ppo)
    run = RunDirectory(_checked_path("path", path).absolute())
    is_replaced = overwrite and _is_run(run)
    if not is_replaced:
        run.create()
    # Whole, beside the old one: whatever fails leaves that as it is.
    staged = RunDirectory(run.path.with_name(f".{run.path.name}.{os.getpid()}"))
    try:
        with run.locked():
            staged.create()
            _write_beginning(staged, ppo)
            staged.write_checkpoint(ppo.get_state())
            staged.save_models(ppo)
            if is_replaced:
                run.remove_results()
            staged.move_to(run)
    finally:
        shutil.rmtree(staged.path, ignore_errors=True)
        run.discard_if_unused()


def _is_run(run: RunDirectory) -> bool:
    """Return whether a directory holds a run that can be read."""
    try:
        run.read_config()
    except (OSError, ValueError):
        return False
    return run.metrics_path.exists()


def _assert_can_be_kept(ppo: PPO) -> None:
    """Check that an agent is at the end of an epoch, and that the figures of all epochs so far are known.

    Raises:
        RuntimeError: If an epoch was interrupted.
        ValueError: If figures are not known.
    """
    if not ppo.is_between_epochs:
        raise RuntimeError("the last epoch was interrupted, and its state is not kept: load() a checkpoint.")
    if len(ppo.history) != ppo.epoch:
        raise ValueError(
            f"history must hold the figures of all {ppo.epoch} epochs, got {len(ppo.history)}: set_history() takes "
            "them after set_state()."
        )


def _write_beginning(run: RunDirectory, ppo: PPO) -> None:
    """Write the configuration of an agent and the figures of its epochs so far."""
    run.write_config(ppo.config, ppo.spec.spaces, ppo.resumptions, ppo.handed_over)
    run.write_metrics(ppo.history)


def _assert_own(run: RunDirectory, ppo: PPO) -> None:
    """Check that a run is that of an agent's training so far.

    Raises:
        ValueError: If it is not.
        OSError: If it cannot be read.
    """
    changes: Any = {name: getattr(ppo.config, name) for name in MAY_CHANGE}
    state = run.read_checkpoint()
    is_begun = (state is None and ppo.epoch == 0) or (state is not None and _agree(state, ppo))
    if not (is_begun and run.read_config().replace(**changes) == ppo.config):
        raise ValueError(
            f"run must be a new directory, or that of this agent's training so far, got '{run.path}', which holds "
            "another training; load() returns the agent of its last checkpoint."
        )


def _agree(state: State, ppo: PPO) -> bool:
    """Return whether a state is that of an agent's training, at its epoch."""
    ours = ppo.get_state()
    may_differ = (_OF_TARGET,) if ppo.is_exact else (_OF_TARGET, *_OF_EPISODES)
    names = [name for name in state if not name.startswith(may_differ)]
    return state.keys() == ours.keys() and all(np.array_equal(state[name], ours[name]) for name in names)
