"""The directory of a training run; only this module knows the names of its files."""

from __future__ import annotations

import csv
import dataclasses
import errno
import os
import platform
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..callbacks import Callback
from ..config import PPOConfig
from ..metrics import EpochMetrics
from .files import (
    append_lines,
    errors_named,
    locked_directory,
    make_directory,
    name_without_process,
    write_atomically,
    write_through,
)
from .outputs import Outputs
from .tables import csv_text, read_json, read_table, whole_lines, write_json, write_text

if TYPE_CHECKING:
    from ..ppo import PPO
    from ..process.backend import keras
    from ..state import State

_GIF_NAME = re.compile(r"epoch_\d+\.gif")
# The packages whose versions are recorded.
_VERSIONED = ("fastppo", "gymnasium", "keras", "numba", "numpy", "tensorflow")
# Keys of config.json besides the fields of the configuration.
_RESUMED = "resumptions"
_SPACES = "spaces"
_HANDED_OVER = "handed_over"
_OUTPUTS = "outputs"
_MADE_BY = frozenset({"command_line", "versions", "python", _RESUMED, _SPACES, _HANDED_OVER, _OUTPUTS})
MAY_CHANGE = ("epochs", "target_return", "device")
"""The settings that may be changed when a run is resumed."""

CANDIDATES = "candidates/"
"""Prefix of the entries of a checkpoint that hold policies which may be the best."""

_COLUMNS = [field.name for field in dataclasses.fields(EpochMetrics)]
_INTEGERS = {field.name for field in dataclasses.fields(EpochMetrics) if field.type == "int"}


class Resumption(NamedTuple):
    """A point at which a run was resumed.

    Attributes:
        after_epoch: The last epoch before resuming.
        epochs: The value of ``PPOConfig.epochs`` until then, on which linear schedules depend.
    """

    after_epoch: int
    epochs: int


class RunDirectory(Callback):
    """A directory that holds one training run.

    Files are written under a temporary name and then renamed, so that a killed run leaves each of them unchanged or
    complete, never half-written. ``metrics.csv`` grows by one line per epoch, each in a single write.

    Attributes:
        path: Absolute path of the directory, so that an environment may change the working directory.
        shown_path: The path as the user gave it, for messages.
    """

    def __init__(self, path: Path) -> None:
        """Set the paths of the files; nothing is created yet.

        Args:
            path: Path of the directory, which need not exist.
        """
        self.shown_path = path
        self.path = path = path.absolute()
        self.config_path = path / "config.json"
        self.metrics_path = path / "metrics.csv"
        self.actor_path = path / "actor.keras"
        self.critic_path = path / "critic.keras"
        self.checkpoint_path = path / "checkpoint.npz"
        self.evaluation_path = path / "evaluation.json"
        self.best_actor_path = path / "best_actor.keras"
        self.best_evaluation_path = path / "best_evaluation.json"
        self.learning_curve_path = path / "learning_curve.png"
        self.tensorboard_path = path / "tensorboard"
        self._names = {path.name for path in vars(self).values() if isinstance(path, Path) and path.suffix}
        self._new_parents: list[Path] = []
        self._is_new = False
        self.last_epoch = 0

    def create(self) -> None:
        """Create the directory for a new run.

        Raises:
            FileExistsError: If the path is a file, or a directory that is not empty.
            OSError: If the directory cannot be created or written to.
        """
        self._new_parents = make_directory(self.path)
        if any(self.path.iterdir()):
            raise FileExistsError(errno.EEXIST, "A run directory must be new or empty", str(self.shown_path))
        # If two runs get this far, only one of them creates the file.
        file = self.metrics_path.open("x", newline="", encoding="utf-8")
        self._is_new = True
        try:
            with errors_named(self.metrics_path), file:
                file.write(csv_text([_COLUMNS]))
        except OSError:
            self.discard_if_unused()
            raise

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the directory against other processes.

        Raises:
            BlockingIOError: If another process holds the lock.
        """
        with locked_directory(self.path):
            yield

    def discard_if_unused(self) -> None:
        """Remove everything that was created here if the run ended before completing its first epoch."""
        if self.last_epoch or not self._is_new:
            return
        for path in (self.config_path, self.metrics_path, self.gif_path(0)):
            path.unlink(missing_ok=True)
        for directory in self._new_parents:
            with suppress(OSError):
                directory.rmdir()

    def reopen(self, epochs: int) -> None:
        """Prepare to continue after this number of epochs.

        Removes later epochs from ``metrics.csv``, and the temporary files that a killed run leaves.

        Args:
            epochs: Number of epochs to keep.

        Raises:
            OSError: If ``metrics.csv`` cannot be read or written.
        """
        self.last_epoch = epochs
        for path in self.path.iterdir():
            name = name_without_process(path.name)
            if name is not None and (name in self._names or _GIF_NAME.fullmatch(name)):
                path.unlink(missing_ok=True)
        lines = whole_lines(self.metrics_path)[1 : epochs + 1]
        write_text(self.metrics_path, "".join([csv_text([_COLUMNS]), *lines]))

    def write_config(
        self,
        config: PPOConfig,
        spaces: dict[str, Any] | None = None,
        resumptions: Iterable[Resumption] = (),
        handed_over: Sequence[str] = (),
        outputs: Outputs | None = None,
    ) -> None:
        """Write the configuration as JSON, with the command line and the versions of packages.

        Args:
            config: The configuration, with environment-dependent values filled in.
            spaces: ``EnvironmentSpec.spaces``; None if unknown.
            resumptions: The points at which the run was resumed.
            handed_over: ``PPO.handed_over``.
            outputs: The outputs to save during training, also after the run is resumed; None for the defaults.
        """
        made_by = {
            "command_line": sys.argv,
            "versions": {name: version(name) for name in _VERSIONED},
            "python": platform.python_version(),
            _HANDED_OVER: list(handed_over),
            _OUTPUTS: dataclasses.asdict(outputs or Outputs()),
        }
        resumed = [resumption._asdict() for resumption in resumptions]
        write_json(self.config_path, {**config.as_dict(), **made_by, _SPACES: spaces, _RESUMED: resumed})

    def read_config(self) -> PPOConfig:
        """Return the configuration that ``write_config`` wrote.

        Raises:
            OSError: If it cannot be read.
            ValueError: If it is damaged or from another version.
        """
        content = read_json(self.config_path)
        fields = {name: value for name, value in content.items() if name not in _MADE_BY}
        try:
            return PPOConfig.from_dict(fields)
        except (TypeError, ValueError) as error:
            raise ValueError(f"'{self.config_path}' {_origin(content.get('versions'))}: {error}") from None

    def read_resumptions(self) -> list[Resumption]:
        """Return the points at which the run was resumed, in order.

        Raises:
            OSError: If it cannot be read.
            ValueError: If it is damaged.
        """
        content = read_json(self.config_path).get(_RESUMED, [])
        try:
            return [Resumption(int(entry["after_epoch"]), int(entry["epochs"])) for entry in content]
        except (KeyError, TypeError, ValueError):
            raise ValueError(f"'{self.config_path}' is damaged: {_RESUMED} cannot be {content!r}.") from None

    def read_outputs(self) -> Outputs:
        """Return the outputs to save during training; the defaults if none were written.

        Raises:
            OSError: If they cannot be read.
            ValueError: If they are damaged.
        """
        content = read_json(self.config_path).get(_OUTPUTS, {})
        try:
            return Outputs(**content)
        except (TypeError, ValueError) as error:
            raise ValueError(f"'{self.config_path}' is damaged: {_OUTPUTS} cannot be {content!r}: {error}") from None

    def read_spaces(self) -> dict[str, Any] | None:
        """Return the spaces that were written with the configuration; None if there are none.

        Raises:
            OSError: If they cannot be read.
            ValueError: If they are damaged.
        """
        spaces = read_json(self.config_path).get(_SPACES)
        if spaces is not None and not isinstance(spaces, dict):
            raise ValueError(f"'{self.config_path}' is damaged: {_SPACES} cannot be {spaces!r}.")
        return spaces

    def read_handed_over(self) -> list[str]:
        """Return the names of the objects that a program passed to the agent that trained the run; see ``PPO``.

        Raises:
            OSError: If they cannot be read.
            ValueError: If they are damaged.
        """
        names = read_json(self.config_path).get(_HANDED_OVER, [])
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValueError(f"'{self.config_path}' is damaged: {_HANDED_OVER} cannot be {names!r}.")
        return names

    def write_metrics(self, history: Iterable[EpochMetrics]) -> None:
        """Write the metrics of all epochs so far, replacing the file."""
        rows = [[getattr(metrics, column) for column in _COLUMNS] for metrics in history]
        write_text(self.metrics_path, csv_text([_COLUMNS, *rows]))
        self.last_epoch = len(rows)

    def read_metrics(self) -> list[EpochMetrics]:
        """Return the metrics of all epochs, in order, ignoring an incomplete last line left by a killed run.

        Raises:
            OSError: If they cannot be read.
            ValueError: If they are damaged.
        """
        try:
            return [_metrics_of(row) for row in read_table(self.metrics_path, _COLUMNS)]
        except (KeyError, TypeError, ValueError, csv.Error):
            raise ValueError(f"'{self.metrics_path}' is damaged, or from another version.") from None

    def write_checkpoint(self, state: State) -> None:
        """Write a checkpoint, replacing the last one, and remove the evaluation of that checkpoint's policy."""
        from .checkpoint import write_checkpoint

        # Even after a power failure, every epoch of the checkpoint must be in metrics.csv.
        if self.metrics_path.exists():
            with errors_named(self.metrics_path):
                write_through(self.metrics_path)

        def write(temporary: Path) -> None:
            write_checkpoint(temporary, state)
            # Before replacing the checkpoint: a missing evaluation is repeated, but an old one would be taken for new.
            self.evaluation_path.unlink(missing_ok=True)

        write_atomically(self.checkpoint_path, write)

    def read_checkpoint(self) -> State | None:
        """Return the state in the last checkpoint; None if there is none.

        Raises:
            OSError: If it cannot be read.
            ValueError: If it is damaged or from another version.
        """
        from .checkpoint import read_checkpoint

        if not self.checkpoint_path.exists():
            return None
        entries = read_checkpoint(self.checkpoint_path)
        state = {name: array for name, array in entries.items() if not name.startswith(CANDIDATES)}
        return state if "env_steps" in state else self._with_later_entries(state)

    def read_candidates(self) -> State:
        """Return the entries of the last checkpoint that hold candidates, without their prefix; empty if none do.

        Raises:
            OSError: If the checkpoint cannot be read.
            ValueError: If it is damaged or from another version.
        """
        from .checkpoint import read_checkpoint

        if not self.checkpoint_path.exists():
            return {}
        entries = read_checkpoint(self.checkpoint_path)
        return {name.removeprefix(CANDIDATES): array for name, array in entries.items() if name.startswith(CANDIDATES)}

    def _with_later_entries(self, state: State) -> State:
        """Add missing entries to the state of a checkpoint from a version that supported only CartPole."""
        import numpy as np

        if not {"epoch", "recent_lengths"} <= state.keys():
            return state
        epoch = int(state["epoch"])
        env_steps = [metrics.env_steps for metrics in self.read_metrics()[:epoch]]
        return {
            **state,
            "recent_returns": state["recent_lengths"].astype(np.float64),
            "env_steps": np.array(env_steps[-1] if env_steps else 0),
            "evaluation_steps": np.array(0),
        }

    def write_evaluation(self, result: dict[str, Any]) -> None:
        """Write the result of the final evaluation as JSON."""
        write_json(self.evaluation_path, result)

    def read_evaluation_episodes(self) -> int | None:
        """Return the number of episodes of the last evaluation; None if there was none, or its file is damaged."""
        with suppress(OSError, ValueError):
            episodes = read_json(self.evaluation_path).get("episodes")
            return episodes if isinstance(episodes, int) and episodes > 0 else None
        return None

    def remove_results(self) -> None:
        """Remove the evaluation, the best policy and the learning curve."""
        for path in (self.evaluation_path, self.best_evaluation_path, self.best_actor_path, self.learning_curve_path):
            path.unlink(missing_ok=True)

    def move_to(self, other: RunDirectory) -> None:
        """Move every file to another run directory, replacing the files there.

        Raises:
            OSError: If a file cannot be moved.
        """
        for path in sorted(self.path.iterdir()):
            os.replace(path, other.path / path.name)
        other._is_new = False

    def write_best(self, actor: keras.Model, evaluation: dict[str, Any]) -> None:
        """Write the best actor, how it was chosen, and its evaluation, replacing the previous ones."""
        write_atomically(self.best_actor_path, actor.save)
        write_json(self.best_evaluation_path, evaluation)

    def write_learning_curve(self, write: Callable[[Path], object]) -> None:
        """Call ``write`` with a path to draw the learning curve."""
        write_atomically(self.learning_curve_path, write)

    def gif_path(self, epoch: int) -> Path:
        """Return the path of the animation of the policy after an epoch; 0 means before training."""
        return self.path / f"epoch_{epoch}.gif"

    def epochs_gif_path(self, epochs: Iterable[int]) -> Path:
        """Return the path of the animation that shows the policies after several epochs side by side."""
        return self.path / f"epochs_{'_'.join(map(str, epochs))}.gif"

    def write_gif(self, epoch: int, write: Callable[[Path], object]) -> None:
        """Call ``write`` with a path to write the animation of the policy after an epoch."""
        write_atomically(self.gif_path(epoch), write)

    def save_models(self, ppo: PPO) -> None:
        """Write actor and critic as ``.keras`` files, which Keras loads without fastppo."""
        write_atomically(self.actor_path, ppo.actor.save)
        write_atomically(self.critic_path, ppo.critic.save)

    def has_models(self) -> bool:
        """Return whether actor and critic have been saved."""
        return self.actor_path.exists() and self.critic_path.exists()

    def on_epoch_end(self, ppo: PPO, metrics: EpochMetrics) -> None:
        """Append one line to ``metrics.csv``."""
        append_lines(self.metrics_path, csv_text([[getattr(metrics, column) for column in _COLUMNS]]))
        self.last_epoch = metrics.epoch


def named_example(path: Path, is_fit: Callable[[RunDirectory], bool], kind: str = "run") -> str:
    """Return a hint that names one of the runs in a directory, such as ``"; pass one run, such as 'runs/a'"``.

    Args:
        path: A path that is not a run; without suitable and readable runs in it, the hint is empty.
        is_fit: Whether a run is suitable.
        kind: What the hint calls it.
    """
    children: list[Path] = []
    with suppress(OSError):
        children = sorted(path.iterdir())
    for child in children:
        with suppress(OSError):
            if is_fit(RunDirectory(child)):
                return f"; pass one {kind}, such as '{child}'"
    return ""


def is_run(run: RunDirectory) -> bool:
    """Return whether a directory holds the configuration of a run."""
    return run.config_path.is_file()


class Due:
    """Schedule of an action that is repeated after a number of environment steps, at the end of an epoch."""

    def __init__(self, every: int) -> None:
        """Create the schedule; call ``begin`` before ``at``.

        Args:
            every: Environment steps between two actions, at least 1.
        """
        self._every = every
        self._times = 0

    def begin(self, env_steps: int) -> None:
        """Start the schedule at this number of steps."""
        self._times = env_steps // self._every

    def at(self, env_steps: int) -> bool:
        """Return whether the action is due after this number of steps."""
        return env_steps // self._every > self._times

    def done(self, env_steps: int) -> None:
        """Record that the action was done after this number of steps."""
        self._times = env_steps // self._every


class Checkpoints(Callback):
    """Writes checkpoints at regular intervals."""

    def __init__(self, run: RunDirectory, every: int, get_candidates: Callable[[], State]) -> None:
        """Store the arguments; nothing is written yet.

        Args:
            run: Run directory for the checkpoints.
            every: Environment steps between checkpoints, at least 1.
            get_candidates: Returns further entries of a checkpoint; see ``CANDIDATES``.
        """
        self._run = run
        self._due = Due(every)
        self._get_candidates = get_candidates

    def on_train_begin(self, ppo: PPO) -> None:
        """Store the number of steps at which training starts."""
        self._due.begin(ppo.env_steps)

    def on_epoch_end(self, ppo: PPO, metrics: EpochMetrics) -> None:
        """Write a checkpoint if one is due."""
        if self._due.at(metrics.env_steps):
            self._run.write_checkpoint(ppo.get_state() | self._get_candidates())
            self._due.done(metrics.env_steps)


def _origin(versions: object) -> str:
    """Return the likely reason why a configuration cannot be read, given the versions it records."""
    recorded, installed = versions.get("fastppo") if isinstance(versions, dict) else None, version("fastppo")
    if recorded in (None, installed):
        return "is damaged"
    return f"was written by fastppo {recorded}, this is {installed}"


def _metrics_of(row: dict[str, str]) -> EpochMetrics:
    values: dict[str, Any] = {name: int(row[name]) if name in _INTEGERS else float(row[name]) for name in _COLUMNS}
    return EpochMetrics(**values)
